"""Register → route → relay over real ports: bytes, failures, cancellation, keys, a controller that restarts."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import SecretStr

from services.clients.control import ControllerClient
from services.controller.app import create_app as create_controller
from services.foundation.settings.tree import Endpoint, Server, Settings
from services.gateway.app import create_app as create_gateway
from services.wire.control import HeartBeat, RegisterWorker, WorkerStatus
from tests.integration.gateway_stack import BUSY, SERVED, Seen, breaking_worker, chunk, scripted_worker, stack
from tests.live import free_port, serve


def question(content: str = "q", **fields: object) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **fields}


async def eventually(holds: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


async def test_bytes_and_request_id_pass_both_ways():
    seen = Seen()
    sent = b'{ "model":"m",  "messages":[{"role":"user","content":"\xe4\xb8\xad"}], "x-unknown": 1.50 }'
    async with stack(scripted_worker(seen)) as live, live.http() as http:
        headers = {"x-request-id": "trace-7", "authorization": "Bearer secret", "cookie": "a=b"}
        answer = await http.post("/v1/chat/completions", content=sent, headers=headers)
    assert (answer.status_code, answer.content) == (200, '{"echo": "中文"}'.encode())
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers.get_list("x-request-id") == ["trace-7"]
    assert (seen.bodies, seen.request_ids) == ([sent], ["trace-7"])
    assert not {"authorization", "cookie", "x-api-key"} & set(seen.headers[0])


PROMPT, QUERY = {"prompt": "x"}, {"query": "x", "documents": ["y"]}


@pytest.mark.parametrize(
    ("path", "reached", "fields"),
    [
        ("/v1/completions", "/v1/completions", PROMPT),
        ("/v1/embeddings", "/v1/embeddings", {"input": "x"}),
        ("/v1/engines/m/embeddings", "/v1/embeddings", {"input": "x"}),
        ("/v1/rerank", "/v1/rerank", QUERY),
        ("/rerank", "/v1/rerank", QUERY),
        ("/v1/responses", "/v1/responses", {"input": "x"}),
        ("/tokenize", "/tokenize", PROMPT),
        ("/v1/tokenize", "/tokenize", PROMPT),
        ("/detokenize", "/detokenize", {"tokens": [1, 2]}),
        ("/v1/detokenize", "/detokenize", {"tokens": [1, 2]}),
    ],
)
async def test_every_call_reaches_its_path(path, reached, fields):
    sent = json.dumps({"model": "m", **fields}).encode()
    async with stack(scripted_worker(Seen())) as live, live.http() as http:
        answer = await http.post(path, content=sent)
        assert answer.content == reached.encode() + b"\n" + sent


async def test_the_aliases_of_chat_and_the_model_in_the_url():
    async with stack(scripted_worker(Seen())) as live, live.http() as http:
        for alias in ("/v1chat/completions", "/api/v1/chat/completions"):
            assert (await http.post(alias, json=question())).status_code == 200
        answer = await http.post("/v1/engines/m/embeddings", json={"input": "x"})
        assert json.loads(answer.content.partition(b"\n")[2]) == {"input": "x", "model": "m"}


async def test_every_field_reaches_the_worker_as_it_was_written():
    seen = Seen()
    fields = {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
        "logprobs": True,
        "top_logprobs": 5,
        "n": 2,
        "seed": -7,
        "stop": ["a", "b"],
        "reasoning_effort": "low",
        "include_reasoning": False,
        "stream_options": {"include_usage": True},
        "stream": True,
    }
    sent = json.dumps(question("中文", **fields), ensure_ascii=False, indent=3).encode()
    async with stack(scripted_worker(seen)) as live, live.http() as http:
        assert (await http.post("/v1/chat/completions", content=sent)).status_code == 200
    assert seen.bodies == [sent]


async def test_a_stream_is_relayed_byte_for_byte():
    seen = Seen()
    async with serve(scripted_worker(seen, pause_seconds=0.0)) as worker, stack() as live, live.http() as http:
        await live.join(worker, "m")
        alone = await http.post(f"{worker}/v1/chat/completions", json=question("é\u2028", stream=True))
        through = await http.post("/v1/chat/completions", json=question("é\u2028", stream=True))
    assert through.content == alone.content
    assert len(through.content) > 1000
    assert through.headers["content-type"] == alone.headers["content-type"]


async def test_a_large_body_passes_and_one_too_large_is_413():
    seen = Seen()
    async with stack(scripted_worker(seen)) as live, live.http() as http:
        large = json.dumps({"model": "m", "input": "x" * 3_000_000}).encode()
        assert (await http.post("/v1/embeddings", content=large)).status_code == 200
        assert seen.bodies == [large]
        refused = await http.post("/v1/embeddings", content=b" " * 20_000_001)
        assert refused.status_code == 413
        assert refused.json()["error"]["code"] == "request.too_large"


async def test_a_workers_own_refusal_passes_through_and_a_foreign_one_is_retold():
    async with stack(scripted_worker(Seen())) as live, live.http() as http:
        answer = await http.post("/v1/chat/completions", json=question("busy"))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        assert answer.content == BUSY
        foreign = await http.post("/v1/chat/completions", json=question("too long for vllm"))
    assert foreign.status_code == 400
    error = foreign.json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "input_tokens")
    assert error["chatchat"]["facts"] | {"field": ""} == {"tokens": 1025, "model": "m", "limit": 1024, "field": ""}


async def test_a_worker_without_a_path_is_404_as_openai_writes_it():
    async with stack(FastAPI()) as live, live.http() as http:
        answer = await http.post("/v1/responses", json={"model": "m", "input": "x"})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    assert "/v1/responses" in answer.json()["error"]["message"]


async def test_events_arrive_as_they_are_written():
    async with stack(scripted_worker(Seen(), pause_seconds=0.1, events=5)) as live, live.openai() as client:
        began = time.perf_counter()
        times: list[float] = []
        stream = await client.chat.completions.create(**question("t", stream=True))
        async for event in stream:
            assert event.choices[0].delta.content == f"t-{len(times)} "
            times.append(time.perf_counter() - began)
    assert len(times) == 5
    assert times[0] < 0.3
    assert all(later - earlier > 0.05 for earlier, later in pairwise(times))


async def test_a_client_that_leaves_stops_the_worker_at_once():
    seen = Seen()
    async with stack(scripted_worker(seen, events=10_000)) as live, live.openai() as client:
        stream = await client.chat.completions.create(**question(stream=True))
        await anext(aiter(stream))
        assert seen.running == 1
        left_at = time.perf_counter()
        await stream.close()
        await asyncio.wait_for(seen.closed.wait(), 1.0)
        took = seen.closed_at - left_at
    print(f"the worker stopped {took * 1000:.1f} ms after the client left")
    assert took < 1.0
    assert seen.running == 0


async def test_a_client_that_leaves_before_the_first_byte_stops_the_worker_too():
    seen = Seen()
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def slow(request: Request) -> Response:
        seen.running += 1
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)
        seen.closed.set()
        return Response()

    async with stack(app) as live, live.http() as http:
        asking = asyncio.create_task(http.post("/v1/chat/completions", json=question()))
        await eventually(lambda: seen.running)
        asking.cancel()
        await asyncio.wait_for(seen.closed.wait(), 1.0)


@pytest.mark.parametrize("tail", [b"", b'data: {"id": "half an eve'])
async def test_a_worker_lost_mid_stream_is_an_api_error_and_no_hang(tail):
    server, url = await breaking_worker(chunk("a"), chunk("b"), tail)
    async with stack() as live, live.openai() as client, server:
        await live.join(url, "m")
        stream = await client.chat.completions.create(**question(stream=True))
        events = aiter(stream)
        assert [(await anext(events)).choices[0].delta.content for _ in "ab"] == ["a", "b"]
        with pytest.raises(openai.APIError, match=r"was lost while it answered") as failure:
            await asyncio.wait_for(anext(events), 5)
        assert not isinstance(failure.value, openai.APIConnectionError)
        assert failure.value.code == "worker_lost"


async def test_a_lost_workers_stream_ends_with_one_event_and_no_done():
    server, url = await breaking_worker(chunk("a"), chunk("b"), b'data: {"id": "half an eve')
    async with stack() as live, live.http() as http, server:
        await live.join(url, "m")
        answer = await http.post("/v1/chat/completions", json=question(stream=True))
    events = answer.text.split("\n\n")
    assert answer.status_code == 200
    assert json.loads(events[2].removeprefix("data: "))["error"]["code"] == "worker_lost"
    assert events[3:] == [""]


async def test_32_streams_get_their_own_bytes():
    seen = Seen()
    async with stack(scripted_worker(seen, pause_seconds=0.005)) as live, live.openai() as client:

        async def ask(name: str) -> str:
            stream = await client.chat.completions.create(**question(name, stream=True))
            return "".join([event.choices[0].delta.content or "" async for event in stream])

        names = [f"n{number}" for number in range(32)]
        answers = await asyncio.gather(*(ask(name) for name in names))
    assert answers == ["".join(f"{name}-{number} " for number in range(20)) for name in names]
    assert seen.running == 0


@pytest.mark.parametrize(
    ("content", "param"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"messages": []}', "model"),
        (b'{"model": ""}', "model"),
        (b'{"model": "m", "chat_template": "{{ x }}"}', "chat_template"),
        (b'{"model": "m", "chat_template_kwargs": {}}', "chat_template_kwargs"),
        (b'{"model": "m", "prompt_embeds": "AAAA"}', "prompt_embeds"),
    ],
)
async def test_a_malformed_request_is_400_and_names_the_field(content, param):
    seen = Seen()
    async with stack(scripted_worker(seen)) as live, live.http() as http:
        answer = await http.post("/v1/chat/completions", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert seen.bodies == []


async def test_unknown_models_absent_workers_and_the_list():
    async with stack(scripted_worker(Seen())) as live, live.openai() as client, live.http() as http:
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.chat.completions.create(**question() | {"model": "absent"})
        assert unknown.value.code == "model_not_found"
        assert "e, m" in unknown.value.message
        absent = await http.post("/v1/embeddings", json={"model": "e", "input": "x"})
        assert (absent.status_code, absent.json()["error"]["code"]) == (503, "model.no_worker")
        assert int(absent.headers["retry-after"]) > 0
        models = (await client.models.list()).data
        assert [(model.id, model.task) for model in models] == [("m", "chat")]  # type: ignore[attr-defined]
        assert (await client.models.retrieve("m")).id == "m"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("absent")


async def test_a_worker_that_cannot_be_reached_is_tried_once_more_elsewhere():
    seen = Seen()
    async with stack() as live, live.http() as http, serve(scripted_worker(seen)) as alive:
        dead = f"http://127.0.0.1:{free_port()}"
        await live.join(dead, "m")
        await live.join(alive, "m")
        assert (await http.post("/v1/chat/completions", json=question())).status_code == 200
        assert len(seen.bodies) == 1


async def test_only_dead_workers_is_503_and_a_new_one_is_found_at_once():
    async with stack() as live, live.http() as http, serve(scripted_worker(Seen())) as alive:
        dead = f"http://127.0.0.1:{free_port()}"
        await live.join(dead, "m")
        began = time.perf_counter()
        answer = await http.post("/v1/chat/completions", json=question())
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service.unreachable")
        assert time.perf_counter() - began < 2
        await live.join(dead)
        await live.join(alive, "m")
        assert (await http.post("/v1/chat/completions", json=question())).status_code == 200


async def test_a_silent_worker_is_504_before_and_an_event_after_the_first_byte():
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def silent(request: Request) -> Response:
        async def one() -> AsyncIterator[bytes]:
            yield chunk("a")
            await asyncio.sleep(30)

        if not json.loads(await request.body()).get("stream"):
            await asyncio.sleep(1)
        return StreamingResponse(one(), media_type="text/event-stream")

    async with stack(app, request_timeout_seconds=0.3) as live, live.http() as http, live.openai() as client:
        assert (await http.post("/v1/chat/completions", json=question())).status_code == 504
        stream = await client.chat.completions.create(**question(stream=True))
        events = aiter(stream)
        await anext(events)
        with pytest.raises(openai.APIError, match=r"did not answer within 0\.3 seconds"):
            await anext(events)


async def test_access_keys_guard_everything_but_health():
    async with (
        stack(
            scripted_worker(Seen()), access_keys=(SecretStr("first-of-the-keys"), SecretStr("second-of-the-keys"))
        ) as live,
        live.http() as http,
    ):
        for headers in (
            {},
            {"x-api-key": "first"},
            {"authorization": "Bearer third-of-the-keys"},
            {"authorization": "Basic first-of-the-keys"},
        ):
            for method, path in (("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("GET", "/docs")):
                answer = await http.request(method, path, headers=headers, json=question())
                assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        for headers in ({"x-api-key": "first-of-the-keys"}, {"authorization": "Bearer second-of-the-keys"}):
            assert (await http.post("/v1/chat/completions", headers=headers, json=question())).status_code == 200
        assert (await http.get("/v1/models?api_key=first-of-the-keys")).status_code == 401
        assert (await http.get("/healthz")).status_code == 200


async def test_a_worker_token_guards_the_controller_and_the_gateway_shows_it():
    async with (
        stack(scripted_worker(Seen()), worker_token=SecretStr("a-token-of-workers")) as live,
        live.http() as http,
    ):
        assert (await http.post("/v1/chat/completions", json=question())).status_code == 200


async def _beat(control: ControllerClient, worker: RegisterWorker) -> None:
    """What a worker does for ever, quickly."""
    while True:
        try:
            if not await control.renew(HeartBeat(worker_name=worker.worker_name)):
                await control.register(worker)
        except Exception:  # noqa: BLE001, S110 - the controller is away
            pass
        await asyncio.sleep(0.05)


async def test_after_a_restart_of_the_controller_the_models_come_back():
    port = free_port()
    settings = Settings(server=Server(controller=Endpoint(port=port)), models=SERVED)
    worker = RegisterWorker(
        worker_name="http://127.0.0.1:9", worker_status=WorkerStatus(model_names=["m"], dialect="openai")
    )

    async def listed() -> object:
        answer = await http.get("/v1/models")
        return [card["id"] for card in answer.json()["data"]] if answer.status_code == 200 else answer.status_code

    async def wait_for(expected: object) -> None:
        async with asyncio.timeout(5):
            while await listed() != expected:
                await asyncio.sleep(0.02)

    async with (
        serve(create_gateway(settings)) as gateway,
        httpx.AsyncClient(base_url=gateway) as http,
        ControllerClient(settings.server.controller.url) as control,
    ):
        assert await listed() == 503
        beating = asyncio.create_task(_beat(control, worker))
        async with serve(create_controller(settings.server), port):
            await wait_for(["m"])
        assert await listed() == ["m"], "what was served goes on being served without the controller"
        async with serve(create_controller(settings.server), port):
            await wait_for(["m"])
        beating.cancel()
