"""The worker under a real server, with OpenAI's own client; as a process: test_worker_process.py."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import openai
import pytest

from services.controller.app import create_app as create_controller
from services.foundation.errors import EngineFailed
from services.foundation.settings.tree import Server
from services.worker.app import WorkerPlan, create_app
from services.worker.engines.echo import EchoEngine
from services.worker.hosted import HostedModel
from services.worker.hosting import Hosting
from tests.contract.engine import spec
from tests.integration.worker_probe import queue_length, said, until
from tests.live import free_port, serve


def echo_model(name: str, task: str = "chat", **options: object) -> HostedModel:
    return HostedModel(name, task, EchoEngine(spec(**options)), 2000)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    models = [
        echo_model("quick"),
        echo_model("slow", pieces=200, delay_seconds=0.05),
        echo_model("failing", fail_after=2),
        echo_model("single", concurrency=1, pieces=100, delay_seconds=0.05),
        echo_model("vectors", "embedding"),
    ]
    async with serve(create_app(WorkerPlan(Hosting(models), address="http://unused"))) as url:
        yield url


@pytest.fixture
async def client(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def comes_to_rest(url: str) -> None:
    async def rests() -> bool:
        return await queue_length(url) == 0

    await until(rests, 1.0)


LONG = "word " * 150


class TestOpenAIClient:
    """OpenAI's own client is content."""

    async def test_whole(self, client: openai.AsyncOpenAI):
        answer = await client.chat.completions.create(model="quick", messages=said("你好, world"), stop=["never"])

        assert answer.choices[0].message.content == "你好, world"
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert answer.usage.total_tokens == 8

    async def test_stream(self, client: openai.AsyncOpenAI):
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model="quick", messages=said("one two three"), stream=True, stream_options={"include_usage": True}
            )
        ]

        assert chunks[0].choices[0].delta.role == "assistant"
        assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == "one two three"
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 3

    async def test_stop_limit_and_n(self, client: openai.AsyncOpenAI):
        stopped = await client.chat.completions.create(model="quick", messages=said("one two three"), stop=" two", n=2)
        cut = await client.chat.completions.create(model="quick", messages=said("one two three"), max_tokens=1)

        assert [choice.message.content for choice in stopped.choices] == ["one", "one"]
        assert cut.choices[0].finish_reason == "length"

    async def test_text_completion(self, client: openai.AsyncOpenAI):
        whole = await client.completions.create(model="quick", prompt=["a", "b"])
        stream = await client.completions.create(model="quick", prompt="one two", stream=True)

        assert [choice.text for choice in whole.choices] == ["a", "b"]
        assert "".join([event.choices[0].text async for event in stream]) == "one two"

    async def test_embeddings_which_it_asks_for_in_base64(self, client: openai.AsyncOpenAI):
        packed = await client.embeddings.create(model="vectors", input=["one two", "three"])
        plain = await client.embeddings.create(model="vectors", input=["one two", "three"], encoding_format="float")

        for one, other in zip(packed.data, plain.data, strict=True):
            assert one.embedding == pytest.approx(other.embedding, abs=1e-6)

    async def test_models(self, client: openai.AsyncOpenAI):
        assert {model.id async for model in client.models.list()} == {"quick", "slow", "failing", "single", "vectors"}

    async def test_errors(self, client: openai.AsyncOpenAI):
        with pytest.raises(openai.NotFoundError) as absent:
            await client.chat.completions.create(model="absent", messages=said("a"))
        with pytest.raises(openai.BadRequestError) as too_long:
            await client.chat.completions.create(model="quick", messages=said("word " * 3000), stream=True)
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="failing", messages=said("one two three"))

        assert absent.value.code == "model_not_found"
        assert too_long.value.code == "context_length_exceeded"

    async def test_a_failure_inside_the_stream(self, client: openai.AsyncOpenAI):
        seen = []

        async def read() -> None:
            stream = await client.chat.completions.create(model="failing", messages=said("one two three"), stream=True)
            async for chunk in stream:
                seen.append(chunk)  # noqa: PERF401 - what came before the failure counts

        with pytest.raises(openai.APIError, match="told to fail after 2 pieces"):
            await read()
        assert len(seen) == 3


async def test_one_event_is_one_http_chunk(url: str):
    body = {"model": "quick", "messages": said("一 二 three 四"), "stream": True}
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    raw = json.dumps(body).encode()
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(raw), raw)
    )
    await reader.readuntil(b"\r\n\r\n")
    chunks = []
    while size := int(await reader.readline(), 16):
        chunks.append(await reader.readexactly(size))
        await reader.readexactly(2)
    writer.close()

    assert len(chunks) == 1 + 4 + 1 + 1
    assert all(chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") and b"\r" not in chunk for chunk in chunks)
    assert chunks[-1] == b"data: [DONE]\n\n"


class TestClientGone:
    """Nobody waits: the engine stops and the slot is free within a second."""

    async def test_in_a_stream(self, url: str, client: openai.AsyncOpenAI):
        stream = await client.chat.completions.create(model="slow", messages=said(LONG), stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        assert await queue_length(url) == 1

        await stream.close()

        await comes_to_rest(url)

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/v1/chat/completions", {"model": "slow", "messages": said(LONG)}),
            ("/v1/completions", {"model": "slow", "prompt": [LONG, LONG]}),
            ("/worker_generate", {"model": "slow", "prompt": LONG}),
            ("/worker_generate_stream", {"model": "slow", "prompt": LONG}),
        ],
    )
    async def test_before_the_end(self, url: str, path: str, body: object):
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            waiting = asyncio.create_task(http.post(path, json=body))

            async def works() -> bool:
                return await queue_length(url) == 1

            await until(works, 2.0)
            waiting.cancel()

        await comes_to_rest(url)

    async def test_in_the_queue(self, url: str):
        body = {"model": "single", "messages": said(LONG), "stream": True}
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            requests = [asyncio.create_task(http.post("/v1/chat/completions", json=body)) for _ in range(3)]

            async def all_wait() -> bool:
                return await queue_length(url) == 3

            await until(all_wait, 2.0)
            for request in requests[1:]:
                request.cancel()

            async def one_is_left() -> bool:
                return await queue_length(url) == 1

            await until(one_is_left, 1.0)
            requests[0].cancel()
        await comes_to_rest(url)


async def test_a_full_queue_says_when_to_come_back(url: str):
    body = {"model": "single", "messages": said(LONG)}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, trust_env=False, limits=limits, timeout=20) as http:
        requests = [asyncio.create_task(http.post("/v1/chat/completions", json=body)) for _ in range(65)]

        async def is_full() -> bool:
            return await queue_length(url) == 65

        await until(is_full, 10.0)
        refused = await http.post("/v1/chat/completions", json=body)
        for request in requests:
            request.cancel()

    assert refused.status_code == 429
    assert refused.headers["retry-after"]
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    await comes_to_rest(url)


async def test_twenty_chats_are_not_mixed(url: str, client: openai.AsyncOpenAI):
    async def chat(number: int) -> str:
        text = " ".join(f"chat{number}" for _ in range(20))
        stream = await client.chat.completions.create(model="slow", messages=said(text), stream=True)
        answer = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert answer == text
        return answer

    began = time.monotonic()
    answers = await asyncio.gather(*(chat(number) for number in range(20)))

    assert len(set(answers)) == 20
    assert time.monotonic() - began < 20 * 20 * 0.05 / 2, "they ran side by side"
    assert await queue_length(url) == 0


class Gated(EchoEngine):
    """Starts when told to."""

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__(spec())
        self.may_start = asyncio.Event()
        self.failure = failure

    async def start(self) -> None:
        await self.may_start.wait()
        if self.failure:
            raise self.failure


@asynccontextmanager
async def joined(*models: HostedModel) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """A controller and a worker that registers there; clients of both."""
    async with AsyncExitStack() as stack:
        controller = await stack.enter_async_context(serve(create_controller(Server())))
        port = free_port()
        plan = WorkerPlan(Hosting(models), f"http://127.0.0.1:{port}", controller, heartbeat_seconds=0.05)
        worker = await stack.enter_async_context(serve(create_app(plan), port))
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=base, trust_env=False))
            for base in (controller, worker)
        ]
        yield clients[0], clients[1]


async def served_models(controller: httpx.AsyncClient) -> list[str]:
    listed: list[str] = (await controller.post("/list_models")).json()["models"]
    return listed


async def test_it_serves_before_its_models_have_started():
    slow = Gated()
    async with joined(echo_model("ready"), HostedModel("later", "chat", slow, 100)) as (controller, worker):
        health = await worker.get("/healthz")
        assert health.status_code == 503
        assert health.json()["status"] == "starting"
        body = {"model": "later", "messages": said("a")}
        refused = await worker.post("/v1/chat/completions", json=body)
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "model.no_worker"

        async def lists(names: list[str]) -> bool:
            return await served_models(controller) == names

        await until(lambda: lists(["ready"]), 2.0)
        slow.may_start.set()
        await until(lambda: lists(["later", "ready"]), 2.0)
        assert (await worker.get("/healthz")).json()["status"] == "ok"
        assert (await worker.post("/v1/chat/completions", json=body)).status_code == 200


async def test_one_model_that_does_not_start_leaves_it_degraded():
    broken = Gated(EngineFailed(model="broken", reason="no weights"))
    broken.may_start.set()
    async with joined(echo_model("good"), HostedModel("broken", "chat", broken, 100)) as (controller, worker):

        async def lists_good() -> bool:
            return await served_models(controller) == ["good"]

        await until(lists_good, 2.0)
        health = await worker.get("/healthz")

    assert health.status_code == 200
    assert health.json()["status"] == "degraded"
    assert "no weights" in health.json()["detail"]["broken"]


async def test_the_lease_is_given_back_at_the_end():
    async with serve(create_controller(Server())) as controller, httpx.AsyncClient(base_url=controller) as asking:
        port = free_port()
        plan = WorkerPlan(Hosting([echo_model("m")]), f"http://127.0.0.1:{port}", controller)
        async with serve(create_app(plan), port):

            async def is_listed() -> bool:
                return await served_models(asking) == ["m"]

            await until(is_listed, 2.0)
            (lease,) = (await asking.get("/leases")).json()["leases"]
            assert lease["status"]["dialect"] == "openai"
            assert lease["status"]["tasks"] == {"m": "chat"}

        assert await served_models(asking) == []
