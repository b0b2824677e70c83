"""The controller on a real port: FastChat's wire, who may register, nothing asked of strangers, streams proxied."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import SecretStr

from services.clients.control import ControllerClient
from services.controller.app import create_app
from services.foundation.errors import Forbidden, Unauthenticated
from services.foundation.settings.tree import Server
from services.wire.control import HeartBeat, RegisterWorker, ReleaseWorker, WorkerStatus
from tests.live import free_port, serve


class Canary:
    """Listens, and counts who connects."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connections = 0


@asynccontextmanager
async def canary(host: str) -> AsyncIterator[Canary]:
    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        watched.connections += 1
        writer.close()

    server = await asyncio.start_server(connected, host, 0)
    watched = Canary(f"http://{host}:{server.sockets[0].getsockname()[1]}")
    async with server:
        yield watched


def attack(url: str) -> dict[str, object]:
    return {"worker_name": url, "worker_status": {"model_names": ["qwen"]}, "check_heart_beat": True}


@pytest.mark.parametrize("with_status", [True, False])
async def test_a_wrong_token_is_401_and_nothing_is_asked(with_status):
    app = create_app(Server(worker_token=SecretStr("the-right-token")))
    async with canary("127.0.0.1") as watched, serve(app) as url, httpx.AsyncClient(base_url=url) as http:
        body = attack(watched.url)
        if not with_status:
            del body["worker_status"], body["check_heart_beat"]
        guarded = ("/register_worker", "/receive_heart_beat", "/refresh_all_workers", "/leases")
        for headers in ({}, {"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}):
            for path in (*guarded, "/drain_worker", "/release_worker"):
                method = "GET" if path == "/leases" else "POST"
                answer = await http.request(method, path, json=body, headers=headers)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
        models = await http.post("/list_models", headers={"x-api-key": "the-right-token"})
        assert models.json() == {"models": []}
        assert watched.connections == 0


@pytest.mark.parametrize("with_status", [True, False])
async def test_a_foreign_address_is_403_and_nothing_is_asked(with_status):
    app = create_app(Server(worker_token=SecretStr("the-right-token"), worker_addresses=("127.0.0.1",)))
    async with (
        canary("127.0.0.2") as watched,
        serve(app) as url,
        ControllerClient(url, token=SecretStr("the-right-token")) as client,
    ):
        status = WorkerStatus(model_names=["qwen"]) if with_status else None
        with pytest.raises(Forbidden):
            await client.register(RegisterWorker(worker_name=watched.url, worker_status=status))
        assert await client.models() == []
        assert watched.connections == 0


async def test_the_right_token_may_register_renew_and_withdraw():
    app = create_app(Server(worker_token=SecretStr("the-right-token")))
    worker = RegisterWorker(worker_name="http://127.0.0.1:9", worker_status=WorkerStatus(model_names=["m"]))
    async with serve(app) as url:
        async with ControllerClient(url, token=SecretStr("the-right-token")) as client:
            assert not await client.renew(HeartBeat(worker_name=worker.worker_name))
            await client.register(worker)
            assert await client.renew(HeartBeat(worker_name=worker.worker_name, queue_length=3))
            [lease] = (await client.leases()).leases
            assert (lease.worker, lease.status.queue_length) == ("http://127.0.0.1:9", 3)
            assert (await client.address("m")).address == "http://127.0.0.1:9"
            await client.register(worker.model_copy(update={"worker_status": WorkerStatus(model_names=[])}))
            assert await client.models() == []
        async with ControllerClient(url) as stranger:
            with pytest.raises(Unauthenticated):
                await stranger.register(worker)
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{url}/healthz")).json()["service"] == "controller"


async def test_leases_expire_on_a_real_clock():
    async with serve(create_app(Server(lease_seconds=0.2))) as url, ControllerClient(url) as client:
        status = WorkerStatus(model_names=["m"], dialect="openai")
        await client.register(RegisterWorker(worker_name="http://127.0.0.1:9", worker_status=status))
        assert await client.models() == ["m"]
        await asyncio.sleep(0.25)
        assert await client.models() == []
        assert not await client.renew(HeartBeat(worker_name="http://127.0.0.1:9"))


async def test_fastchats_wire_word_for_word():
    async with serve(create_app(Server())) as url, httpx.AsyncClient(base_url=url) as http:
        body = attack("http://localhost:7")
        body["worker_status"] = {"model_names": ["b", "a"], "speed": 1, "queue_length": 0}
        registered = await http.post("/register_worker", json=body)
        assert (registered.status_code, registered.json()) == (200, None)
        assert (await http.post("/list_models")).json() == {"models": ["a", "b"]}
        assert (await http.post("/list_language_models")).json() == {"models": ["a", "b"]}
        assert (await http.post("/list_multimodal_models")).json() == {"models": []}
        address = (await http.post("/get_worker_address", json={"model": "a"})).json()
        assert (address["address"], address["dialect"]) == ("http://localhost:7", "fastchat")
        assert (await http.post("/get_worker_address", json={"model": "c"})).json()["address"] == ""
        beat = {"worker_name": "http://localhost:7", "queue_length": 0}
        assert (await http.post("/receive_heart_beat", json=beat)).json() == {"exist": True}
        assert (await http.get("/test_connection")).json() == "success"
        status = (await http.post("/worker_get_status")).json()
        assert (status["model_names"], status["speed"]) == (["a", "b"], 1)
        malformed = await http.post("/register_worker", json={"check_heart_beat": True})
        assert malformed.status_code == 400
        assert malformed.json()["error"]["param"] == "worker_name"


def stock_worker(delay_seconds: float = 0.0) -> FastAPI:
    app = FastAPI()

    @app.post("/worker_get_status")
    async def status() -> dict[str, object]:
        await asyncio.sleep(delay_seconds)
        return {"model_names": ["asked"], "speed": 1, "queue_length": 0}

    @app.post("/worker_generate_stream")
    async def generate(request: Request) -> StreamingResponse:
        prompt = (await request.json())["prompt"]

        async def answer() -> AsyncIterator[bytes]:
            for end in range(1, len(prompt) + 1):
                yield json.dumps({"text": prompt[:end], "error_code": 0}).encode() + b"\0"

        return StreamingResponse(answer())

    return app


async def test_a_slow_worker_asked_for_its_status_holds_up_nobody():
    async with (
        serve(stock_worker(delay_seconds=0.5)) as worker,
        serve(create_app(Server())) as url,
        ControllerClient(url) as client,
    ):
        asking = asyncio.create_task(client.register(RegisterWorker(worker_name=worker)))
        await asyncio.sleep(0.1)
        began = time.perf_counter()
        assert await client.models() == []
        assert time.perf_counter() - began < 0.3
        await asking
        assert await client.models() == ["asked"]


async def test_the_controller_proxies_fastchats_stream():
    async with serve(stock_worker()) as worker, serve(create_app(Server())) as url:
        async with ControllerClient(url) as client:
            await client.register(RegisterWorker(worker_name=worker))
        async with httpx.AsyncClient(base_url=url) as http:
            good = await http.post("/worker_generate_stream", json={"model": "asked", "prompt": "abc"})
            texts = [json.loads(message)["text"] for message in good.content.split(b"\0") if message]
            assert texts == ["a", "ab", "abc"]
            absent = await http.post("/worker_generate_stream", json={"model": "absent", "prompt": "abc"})
            [message] = [json.loads(message) for message in absent.content.split(b"\0") if message]
            assert message["error_code"] == 50005
            assert (await http.post("/worker_generate_stream", json={})).status_code == 400


async def test_a_refresh_drops_a_dead_worker():
    async with serve(create_app(Server())) as url, ControllerClient(url) as client:
        dead = f"http://127.0.0.1:{free_port()}"
        await client.register(RegisterWorker(worker_name=dead, worker_status=WorkerStatus(model_names=["m"])))
        async with httpx.AsyncClient(base_url=url) as http:
            assert (await http.post("/refresh_all_workers")).status_code == 200
        assert await client.models() == []


async def test_a_drained_worker_is_listed_no_more_and_the_worker_notices_nothing():
    worker = RegisterWorker(worker_name="http://127.0.0.1:9", worker_status=WorkerStatus(model_names=["m"]))
    async with serve(create_app(Server())) as url, ControllerClient(url) as client:
        assert not await client.drain("http://127.0.0.1:9")
        await client.register(worker)
        assert await client.drain("http://127.0.0.1:9")
        assert (await client.models(), (await client.leases()).leases) == ([], [])
        assert await client.renew(HeartBeat(worker_name=worker.worker_name))
        assert (await client.address("m")).address == ""


async def leased(client: ControllerClient, supervisor: str | None) -> None:
    status = WorkerStatus(model_names=["m"], dialect="openai", supervisor=supervisor)
    await client.register(RegisterWorker(worker_name="http://127.0.0.1:9", worker_status=status))


async def test_a_model_without_a_supervisor_cannot_be_released():
    async with serve(create_app(Server())) as url, ControllerClient(url) as client:
        await leased(client, None)
        answer = await client.release(ReleaseWorker(model_name="m"))
        assert answer.code == 500
        assert "no supervisor of ours started its worker" in answer.msg
        assert await client.models() == ["m"]


@pytest.mark.parametrize("path", ["", "/@evil", "?x=", "#x"])
async def test_a_lease_cannot_make_the_controller_call_a_foreign_address(path):
    async with canary("127.0.0.2") as watched, serve(create_app(Server(worker_addresses=("127.0.0.1",)))) as url:
        async with ControllerClient(url) as client:
            await leased(client, watched.url + path)
            for new in (None, "other"):
                answer = await client.release(ReleaseWorker(model_name="m", new_model_name=new))
                assert answer.code == 500
                assert "not allowed" in answer.msg or "not valid" in answer.msg
        assert watched.connections == 0


def stand_in_supervisor(asked: list[tuple[str, str | None]]) -> FastAPI:
    """Accepts a stop, ends a start too early, and takes notes."""
    app = FastAPI()

    @app.post("/models/{rest:path}")
    async def change(rest: str, request: Request) -> StreamingResponse:
        asked.append((rest, request.headers.get("x-api-key")))
        states = ["stopping", "done"] if rest.endswith("/stop") else ["starting"]
        events = [json.dumps({"model": "m", "state": state, "seconds": 0}) for state in states]
        return StreamingResponse(iter([f"data: {event}\n\n" for event in events]), media_type="text/event-stream")

    return app


async def test_the_supervisor_is_shown_the_token_and_its_silence_is_a_failure():
    asked: list[tuple[str, str | None]] = []
    token = SecretStr("the-right-token")
    async with (
        serve(stand_in_supervisor(asked)) as supervisor,
        serve(create_app(Server(worker_token=token))) as url,
        ControllerClient(url, token=token) as client,
    ):
        await leased(client, supervisor)
        stopped = await client.release(ReleaseWorker(model_name="m"))
        assert (stopped.code, stopped.msg) == (200, "sucess to release model: m")
        failed = await client.release(ReleaseWorker(model_name="m", new_model_name="n", keep_origin=True))
        assert (failed.code, failed.msg) == (500, "failed change model from m to n")
        assert "before it was done" in (failed.reason or "")
        kept = await client.release(ReleaseWorker(model_name="m", keep_origin=True))
        assert kept.code == 200
        assert asked == [("m/stop", "the-right-token"), ("n/start", "the-right-token")]


async def test_a_supervisor_that_is_gone_is_named():
    async with serve(create_app(Server())) as url, ControllerClient(url) as client:
        await leased(client, f"http://127.0.0.1:{free_port()}")
        answer = await client.release(ReleaseWorker(model_name="m"))
        assert (answer.code, answer.msg) == (500, "failed to release model: m")
        assert "supervisor" in (answer.reason or "")
