"""How the remote engine reads a provider's answers and failures: the provider is a scripted server on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from services.foundation.errors import (
    ChatchatError,
    ContextTooLong,
    InvalidRequest,
    InvalidSetting,
    ProviderFailed,
    ServiceUnreachable,
    TookTooLong,
    WorkerBusy,
)
from services.wire.openai import ChatCompletionRequest, EmbeddingRequest, RerankRequest
from services.worker.engines.remote.openai_compatible import OpenAICompatibleEngine
from tests.contract.engine import KEY, MODEL, collect, reason_of, spec, text_of
from tests.live import free_port, serve


@dataclass
class Script:
    """A provider that answers what it is told, and keeps what it was asked."""

    status: int = 200
    body: object = None
    events: list[str] = field(default_factory=list)
    hang_seconds: float = 0.0
    asked: list[dict[str, object]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    async def __call__(self, request: Request) -> Response:
        self.asked.append(json.loads(await request.body()))
        self.keys.append(request.headers.get("authorization"))
        await asyncio.sleep(self.hang_seconds)
        if self.events:
            return StreamingResponse((f"data: {event}\n\n" for event in self.events), media_type="text/event-stream")
        if isinstance(self.body, str):
            return Response(self.body, self.status)
        return JSONResponse(self.body, self.status)


def chat_request(**fields: object) -> ChatCompletionRequest:
    messages = [{"role": "user", "content": "hello"}]
    return ChatCompletionRequest.model_validate({"model": MODEL, "messages": messages, **fields})


def event(delta: dict[str, object], reason: str | None = None, **fields: object) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice], **fields}
    return json.dumps(chunk, ensure_ascii=False)


@pytest.mark.enable_socket
class TestProvider:
    """How a provider's answers and failures are read."""

    @pytest.fixture
    def script(self) -> Script:
        return Script()

    @pytest.fixture
    async def engine(self, script: Script) -> AsyncIterator[OpenAICompatibleEngine]:
        app = Starlette(routes=[Route("/v1/{path:path}", script.__call__, methods=["POST"])])
        async with serve(app) as url:
            engine = OpenAICompatibleEngine(spec(base_url=f"{url}/v1/", model="up", api_key=KEY, timeout_seconds=0.3))
            await engine.start()
            yield engine
            await engine.stop()

    async def failure(self, engine: OpenAICompatibleEngine) -> ChatchatError:
        with pytest.raises(ChatchatError) as failed:
            await collect(engine, chat_request())
        assert KEY not in str(failed.value)
        assert KEY not in repr(failed.value.facts)
        return failed.value

    async def test_unknown_fields_are_passed_on_and_the_model_renamed(
        self, engine: OpenAICompatibleEngine, script: Script
    ):
        script.events = [event({"role": "assistant", "content": "hi"}, "stop"), "[DONE]"]
        tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]

        await collect(engine, chat_request(tools=tools, temperature=0.5, stream=False))

        assert script.keys == [f"Bearer {KEY}"]
        assert script.asked[0] == {
            "model": "up",
            "messages": [{"role": "user", "content": "hello"}],
            "tools": tools,
            "temperature": 0.5,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    async def test_tool_calls_come_through(self, engine: OpenAICompatibleEngine, script: Script):
        call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        script.events = [event({"role": "assistant", "tool_calls": [call]}), event({}, "tool_calls"), "[DONE]"]

        chunks = await collect(engine, chat_request())

        assert chunks[1].choices[0].delta.model_dump(exclude_none=True) == {"tool_calls": [call]}
        assert reason_of(chunks) == "tool_calls"

    async def test_a_provider_without_usage_or_role(self, engine: OpenAICompatibleEngine, script: Script):
        script.events = [event({"content": "three words here"}), event({}, "stop"), "[DONE]"]

        chunks = await collect(engine, chat_request())

        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 3

    async def test_line_separators_inside_text(self, engine: OpenAICompatibleEngine, script: Script):
        script.events = [event({"content": "one\u2028two\x85three"}), event({}, "stop"), "[DONE]"]

        assert text_of(await collect(engine, chat_request())) == "one\u2028two\x85three"

    async def test_a_stream_that_breaks_off_is_a_failure(self, engine: OpenAICompatibleEngine, script: Script):
        script.events = [event({"content": "half an ans"})]

        assert isinstance(await self.failure(engine), ProviderFailed)

    async def test_a_failure_inside_the_stream(self, engine: OpenAICompatibleEngine, script: Script):
        script.events = [event({"content": "a"}), json.dumps({"error": {"message": f"out of memory, {KEY}"}})]

        failed = await self.failure(engine)
        assert isinstance(failed, ProviderFailed)
        assert "out of memory, ***" in str(failed)

    async def test_an_event_that_is_not_a_chunk(self, engine: OpenAICompatibleEngine, script: Script):
        script.events = ["{'no': json"]

        assert "not JSON" in str(await self.failure(engine))

    @pytest.mark.parametrize(
        ("status", "body", "expected", "sentence"),
        [
            (401, {"error": {"message": f"wrong key {KEY}"}}, ProviderFailed, "refused the access key"),
            (403, "no", ProviderFailed, "refused the access key"),
            (404, {"error": {"message": "no model up"}}, ProviderFailed, "no model up"),
            (429, {"error": {"message": "slow down"}}, WorkerBusy, "busy"),
            (500, f"<html>{KEY}</html>", ProviderFailed, "HTTP 500"),
            (400, {"error": {"message": "bad tools", "param": "tools"}}, InvalidRequest, "'tools'.*bad tools"),
            (
                400,
                {
                    "error": {
                        "message": "This model's maximum context length is 512 tokens",
                        "code": "context_length_exceeded",
                    }
                },
                ContextTooLong,
                "at most 512",
            ),
        ],
    )
    async def test_error_statuses(
        self,
        engine: OpenAICompatibleEngine,
        script: Script,
        status: int,
        body: object,
        expected: type[ChatchatError],
        sentence: str,
    ):
        script.status, script.body = status, body

        failed = await self.failure(engine)

        assert type(failed) is expected
        assert failed.facts["model" if expected is not InvalidRequest else "field"]
        with pytest.raises(expected, match=sentence):
            raise failed

    async def test_a_provider_that_does_not_answer_in_time(self, engine: OpenAICompatibleEngine, script: Script):
        script.hang_seconds = 0.5

        failed = await self.failure(engine)
        assert isinstance(failed, TookTooLong)
        assert failed.facts["timeout_seconds"] == 0.3

    async def test_embeddings_in_another_order(self, engine: OpenAICompatibleEngine, script: Script):
        vectors = [{"index": 1, "embedding": [0, 5]}, {"index": 0, "embedding": [3, 4]}]
        script.body = {"data": vectors}

        request = EmbeddingRequest(model=MODEL, input=["a", "b"], encoding_format="base64", input_type="query")
        answer = await engine.embed(request)

        assert [item.embedding for item in answer.data] == [[0.6, 0.8], [0.0, 1.0]]
        assert script.asked[0] == {"model": "up", "input": ["a", "b"], "encoding_format": "float"}

    @pytest.mark.parametrize(
        "vectors",
        [[], [{"index": 0, "embedding": [0.0]}], [{"index": 0, "embedding": "AAAA"}], [{"index": 1, "embedding": [1]}]],
    )
    async def test_embeddings_that_cannot_be_used(
        self, engine: OpenAICompatibleEngine, script: Script, vectors: object
    ):
        script.body = {"data": vectors}

        with pytest.raises(ProviderFailed):
            await engine.embed(EmbeddingRequest(model=MODEL, input=["a"]))

    async def test_logits_become_relevances(self, engine: OpenAICompatibleEngine, script: Script):
        script.body = {"results": [{"index": 0, "relevance_score": -5.0}, {"index": 1, "relevance_score": 900.0}]}

        answer = await engine.rerank(RerankRequest(model=MODEL, query="q", documents=["a", "b"]))

        assert [result.index for result in answer.results] == [1, 0]
        assert answer.results[0].relevance_score == pytest.approx(1.0)
        assert 0 < answer.results[1].relevance_score < 0.01

    async def test_a_rank_for_nothing(self, engine: OpenAICompatibleEngine, script: Script):
        script.body = {"results": [{"index": 7, "relevance_score": 0.5}]}

        with pytest.raises(ProviderFailed, match="not given"):
            await engine.rerank(RerankRequest(model=MODEL, query="q", documents=["a"]))


@pytest.mark.enable_socket
async def test_an_absent_provider_does_not_keep_the_engine_from_starting():
    port = free_port()
    engine = OpenAICompatibleEngine(spec(base_url=f"http://user:{KEY}@127.0.0.1:{port}/v1"))
    await engine.start()

    with pytest.raises(ServiceUnreachable, match=f"127.0.0.1:{port}") as failed:
        await collect(engine, chat_request())

    assert KEY not in str(failed.value)
    await engine.stop()
    await engine.stop()


@pytest.mark.parametrize("base_url", ["localhost:8000", "ftp://host/v1", "http://", "http://[::1"])
def test_a_base_url_that_is_none(base_url: str):
    with pytest.raises(InvalidSetting, match="base_url"):
        OpenAICompatibleEngine(spec(base_url=base_url))
