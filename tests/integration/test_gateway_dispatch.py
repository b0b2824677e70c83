"""Several workers of one model: who gets a request, who gets it next, and what happens without the controller."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from services.clients.control import ControllerClient
from services.controller.app import create_app as create_controller
from services.foundation.settings.tree import Endpoint, Server, Settings
from services.gateway.app import create_app as create_gateway
from tests.integration.gateway_stack import SERVED, Seen, Stack, breaking_worker, chunk, scripted_worker, stack
from tests.live import free_port, serve

CHAT = "/v1/chat/completions"
QUESTION = {"model": "m", "messages": [{"role": "user", "content": "q"}]}
STREAM = {**QUESTION, "stream": True}


def failing_worker(status: int) -> FastAPI:
    """Answers everything with one status, in its own words."""
    app = FastAPI()

    @app.post(CHAT)
    async def chat() -> Response:
        return Response(b'{"error": {"message": "no", "code": "x"}}', status, media_type="application/json")

    return app


@asynccontextmanager
async def two_workers(first: FastAPI | str, second: FastAPI) -> AsyncIterator[tuple[Stack, httpx.AsyncClient]]:
    """Both serve "m"; the first one's lease looks better, so that it is asked first."""
    async with stack() as live, serve(second) as other, live.http() as http:
        await live.join(other, "m", queue_length=1)
        if isinstance(first, str):
            await live.join(first, "m")
            yield live, http
        else:
            async with serve(first) as url:
                await live.join(url, "m")
                yield live, http


async def test_streams_are_shared_out_evenly():
    seen = [Seen(), Seen(), Seen()]
    async with stack() as live, live.http() as http, AsyncExitStack() as workers:
        for one in seen:
            await live.join(await workers.enter_async_context(serve(scripted_worker(one))), "m")
        answers = await asyncio.gather(*(http.post(CHAT, json=STREAM) for _ in range(30)))
    assert {answer.status_code for answer in answers} == {200}
    assert all(8 <= len(one.bodies) <= 12 for one in seen)


async def test_a_request_costs_the_controller_nothing():
    async with stack(scripted_worker(Seen())) as live, live.http() as http:
        assert (await http.post(CHAT, json=QUESTION)).status_code == 200
        before = await asked(live.controller)
        for _ in range(20):
            await http.post(CHAT, json=QUESTION)
        assert await asked(live.controller) == before


async def asked(controller: str) -> object:
    """How often the controller dispatched: each of its own choices makes the worker's queue longer."""
    async with ControllerClient(controller) as client:
        return [lease.status.queue_length for lease in (await client.leases()).leases]


def dying_worker() -> FastAPI:
    """Begins a stream with its failure, as vLLM does when its engine dies before the first token."""
    app = FastAPI()

    async def event() -> AsyncIterator[bytes]:
        yield b'data: {"error": {"message": "EngineCore is dead", "type": "InternalServerError", "code": 500}}\n\n'
        yield b"data: [DONE]\n\n"

    @app.post(CHAT)
    async def chat() -> Response:
        return StreamingResponse(event(), media_type="text/event-stream")

    return app


async def test_a_stream_that_begins_with_a_failure_goes_to_another_worker_once():
    async with two_workers(dying_worker(), scripted_worker(Seen())) as (_, http):
        answer = await http.post(CHAT, json=STREAM)
    assert "error" not in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")

    async with two_workers(dying_worker(), dying_worker()) as (_, http):
        answer = await http.post(CHAT, json=STREAM)
    assert "model.engine_failed" in answer.text


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_what_another_worker_may_do_better_goes_to_it_once(status):
    seen = Seen()
    async with two_workers(failing_worker(status), scripted_worker(seen)) as (_, http):
        answer = await http.post(CHAT, json=STREAM)
    assert answer.status_code == 200
    assert len(seen.bodies) == 1


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_what_no_other_worker_would_do_better_is_the_answer(status):
    seen = Seen()
    async with two_workers(failing_worker(status), scripted_worker(seen)) as (_, http):
        assert (await http.post(CHAT, json=STREAM)).status_code in {400, 404}
    assert seen.bodies == []


async def test_when_both_fail_the_seconds_word_counts():
    async with two_workers(failing_worker(503), failing_worker(429)) as (_, http):
        answer = await http.post(CHAT, json=QUESTION)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert answer.headers["content-type"] == "application/json"


async def test_a_worker_that_breaks_before_the_first_event_is_never_seen():
    seen = Seen()
    for pieces in ((), (b'data: {"id": "half an eve',)):
        server, url = await breaking_worker(*pieces)
        async with server, two_workers(url, scripted_worker(seen)) as (_, http):
            answer = await http.post(CHAT, json=STREAM)
        assert answer.text.startswith("data: ")
        assert answer.text.endswith("data: [DONE]\n\n")
        assert "half an eve" not in answer.text
    assert len(seen.bodies) == 2


async def test_a_worker_that_breaks_after_the_first_event_is_not_asked_twice():
    seen = Seen()
    server, url = await breaking_worker(chunk("a"))
    async with server, two_workers(url, scripted_worker(seen)) as (_, http):
        answer = await http.post(CHAT, json=STREAM)
    assert [event[:5] for event in answer.text.split("\n\n")] == ["data:", "data:", ""]
    assert "worker_lost" in answer.text
    assert seen.bodies == []


async def test_a_dead_worker_is_asked_once_and_then_left_alone(caplog):
    seen = Seen()
    dead = f"http://127.0.0.1:{free_port()}"
    async with two_workers(dead, scripted_worker(seen)) as (_, http):
        for _ in range(10):
            assert (await http.post(CHAT, json=QUESTION)).status_code == 200
    assert len(seen.bodies) == 10
    assert 1 <= caplog.text.count("trying once more") < 4, "not with every request"


async def test_a_sole_worker_that_broke_is_tried_once_more_and_then_its_absence_told():
    calls = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server, stack() as live, live.http() as http:
        await live.join(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "m")
        answer = await http.post(CHAT, json=QUESTION)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service.unreachable")
    assert calls == 2


async def test_the_head_of_a_stream_waits_for_its_first_event():
    app = FastAPI()

    @app.post(CHAT)
    async def slow() -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield b"data: {"
            await asyncio.sleep(0.3)
            yield b"}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async with stack(app) as live, live.http() as http:
        began = time.perf_counter()
        async with http.stream("POST", CHAT, json=STREAM) as answer:
            took = time.perf_counter() - began
            assert await answer.aread() == b"data: {}\n\n"
    assert took >= 0.3


async def test_a_worker_that_joined_or_left_is_noticed_within_seconds():
    first, second = Seen(), Seen()
    async with (
        stack() as live,
        live.http() as http,
        serve(scripted_worker(first)) as a,
        serve(scripted_worker(second)) as b,
    ):
        await live.join(a, "m")
        assert (await http.post(CHAT, json=QUESTION)).status_code == 200
        await live.join(b, "m")
        async with asyncio.timeout(5):
            while not second.bodies:
                await http.post(CHAT, json=QUESTION)
                await asyncio.sleep(0.05)
        await live.leave(a)
        async with asyncio.timeout(5):
            while not await _spares(first, http):
                await asyncio.sleep(0.05)


async def _spares(worker: Seen, http: httpx.AsyncClient) -> bool:
    before = len(worker.bodies)
    for _ in range(5):
        assert (await http.post(CHAT, json=QUESTION)).status_code == 200
    return len(worker.bodies) == before


async def test_without_the_controller_requests_go_on():
    port, seen = free_port(), Seen()
    settings = Settings(server=Server(controller=Endpoint(port=port)), models=SERVED)
    async with (
        serve(create_gateway(settings)) as gateway,
        httpx.AsyncClient(base_url=gateway) as http,
        serve(scripted_worker(seen)) as worker,
    ):
        assert (await http.post(CHAT, json=QUESTION)).status_code == 503
        async with serve(create_controller(settings.server), port), ControllerClient(f"http://127.0.0.1:{port}") as c:
            await Stack(gateway, "", c).join(worker, "m")
            assert (await http.post(CHAT, json=QUESTION)).status_code == 200
        for _ in range(5):
            assert (await http.post(CHAT, json=QUESTION)).status_code == 200
        listed = (await http.get("/v1/models")).json()["data"]
    assert [card["id"] for card in listed] == ["m"]
    assert len(seen.bodies) == 6


async def test_the_list_tells_how_long_a_context_is_where_the_worker_says_so():
    app = FastAPI()
    asked_for = 0

    @app.get("/v1/models")
    async def models() -> dict[str, object]:
        nonlocal asked_for
        asked_for += 1
        return {"object": "list", "data": [{"id": "m", "object": "model", "max_model_len": 1024}]}

    async with stack(app) as live, live.http() as http, serve(scripted_worker(Seen())) as silent:
        await live.join(silent, "e")
        await http.get("/v1/models")
        cards = {card["id"]: card for card in (await http.get("/v1/models")).json()["data"]}
        one = (await http.get("/v1/models/m")).json()
    assert cards["m"]["max_model_len"] == one["max_model_len"] == 1024
    assert "max_model_len" not in cards["e"]
    assert asked_for == 1


async def test_a_client_that_leaves_frees_the_worker_it_was_given():
    seen, app = Seen(), FastAPI()

    @app.post(CHAT)
    async def endless(request: Request) -> Response:
        await request.body()
        seen.running += 1
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)
        seen.closed.set()
        return Response()

    other = Seen()
    async with two_workers(app, scripted_worker(other)) as (_, http):
        asking = asyncio.create_task(http.post(CHAT, json=STREAM))
        async with asyncio.timeout(5):
            while not seen.running:
                await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.wait_for(seen.closed.wait(), 1.0)
    assert other.bodies == []


async def test_a_foreign_error_within_a_stream_is_retold():
    app = FastAPI()

    @app.post(CHAT)
    async def failing() -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield chunk("a")
            yield b'data: {"error": {"message": "EngineCore died", "type": "X", "param": null, "code": 500}}\n\n'
            yield b"data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async with stack(app) as live, live.http() as http:
        answer = await http.post(CHAT, json=STREAM)
    events = answer.text.split("\n\n")
    assert events[0].encode() + b"\n\n" == chunk("a")
    assert json.loads(events[1].removeprefix("data: "))["error"]["code"] == "model.engine_failed"
