"""How the remote engine reads a provider's answers and failures: the provider is a scripted server on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from services.foundation.errors import (
    ChatchatError,
    ContextTooLong,
    InvalidRequest,
    InvalidSetting,
    ProviderFailed,
    ServiceUnreachable,
    WorkerBusy,
)
from services.wire.openai import EmbeddingRequest, RerankRequest
from services.worker.engines.remote.openai_compatible import OpenAICompatibleEngine
from tests.contract.engine import KEY, MODEL, collect, reason_of, spec, text_of
from tests.contract.remote import GOOD, Script, chat_request, event, failure_of, relaying
from tests.live import free_port


@pytest.mark.enable_socket
class TestProvider:
    """How a provider's answers and failures are read."""

    @pytest.fixture
    def script(self) -> Script:
        return Script()

    @pytest.fixture
    async def engine(self, script: Script) -> AsyncIterator[OpenAICompatibleEngine]:
        async with relaying(script) as engine:
            yield engine

    async def test_unknown_fields_are_passed_on_and_the_model_renamed(
        self, engine: OpenAICompatibleEngine, script: Script
    ):
        script.events = [event({"role": "assistant", "content": "hi"}, "stop"), "[DONE]"]
        tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]

        await collect(engine, chat_request(tools=tools, temperature=0.5, stream=False))

        assert script.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert script.asked[0] == {
            "model": "up",
            "messages": [{"role": "user", "content": "hello"}],
            "tools": tools,
            "temperature": 0.5,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    async def test_images_schemas_and_the_like_are_passed_on_as_they_came(
        self, engine: OpenAICompatibleEngine, script: Script
    ):
        script.events = GOOD
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}
        given = {
            "messages": [{"role": "user", "content": [{"type": "text", "text": "what?"}, picture], "name": "ann"}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
            "logprobs": True,
            "top_logprobs": 3,
            "seed": 7,
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "stop": ["a", "b"],
            "reasoning_effort": "low",
        }

        await collect(engine, chat_request(**given))

        assert {name: script.asked[0][name] for name in given} == given

    async def test_several_answers_come_side_by_side(self, engine: OpenAICompatibleEngine, script: Script):
        def piece(place: int, content: str, reason: str | None = None) -> str:
            return json.dumps({"choices": [{"index": place, "delta": {"content": content}, "finish_reason": reason}]})

        script.events = [piece(0, "a"), piece(1, "b"), piece(1, "", "stop"), piece(0, "", "length"), "[DONE]"]

        chunks = await collect(engine, chat_request(n=2))

        assert script.asked[0]["n"] == 2
        said = [(choice.index, choice.delta.content) for chunk in chunks for choice in chunk.choices]
        assert [text for text in said if text[1]] == [(0, "a"), (1, "b")]
        script.events = [piece(0, "a", "stop"), "[DONE]"]
        assert "ended before" in str(await failure_of(engine, chat_request(n=2)))

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

        assert isinstance(await failure_of(engine), ProviderFailed)

    async def test_a_failure_inside_the_stream(self, engine: OpenAICompatibleEngine, script: Script):
        script.events = [event({"content": "a"}), json.dumps({"error": {"message": f"out of memory, {KEY}"}})]

        failed = await failure_of(engine)
        assert isinstance(failed, ProviderFailed)
        assert "out of memory, ***" in str(failed)

    async def test_an_event_that_is_not_a_chunk(self, engine: OpenAICompatibleEngine, script: Script):
        script.events = ["{'no': json"]

        assert "not JSON" in str(await failure_of(engine))

    @pytest.mark.parametrize(
        ("status", "body", "expected", "sentence"),
        [
            (401, {"error": {"message": f"wrong key {KEY}"}}, ProviderFailed, "refused the access key"),
            (403, f"not for {KEY}", ProviderFailed, r"not for \*\*\*: it refused the access key"),
            (
                402,
                {"error": {"message": "Insufficient Balance"}},
                ProviderFailed,
                "no credit left.*Insufficient Balance",
            ),
            (429, {"error": {"message": f"quota of {KEY}", "code": "insufficient_quota"}}, ProviderFailed, "no credit"),
            (404, {"error": {"message": "no model up"}}, ProviderFailed, "no model up.*options model and base_url"),
            (400, {"error": {"message": "x", "code": "content_filter"}}, InvalidRequest, "content filter"),
            (422, {"detail": [{"loc": ["body"], "msg": KEY}]}, InvalidRequest, r"\*\*\*"),
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

        failed = await failure_of(engine)

        assert type(failed) is expected
        assert failed.facts["model" if expected is not InvalidRequest else "field"]
        with pytest.raises(expected, match=sentence):
            raise failed

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

    async def test_a_ranking_in_dashscopes_own_body(self, script: Script):
        script.body = {"output": {"results": [{"index": 1, "relevance_score": 0.9}]}, "usage": {"total_tokens": 4}}
        async with relaying(script, task="rerank", rerank={"path": "rank", "shape": "dashscope"}) as engine:
            answer = await engine.rerank(RerankRequest(model=MODEL, query="q", documents=["a", "b"], top_n=1))

        assert [result.index for result in answer.results] == [1]
        assert script.asked[0] == {
            "model": "up",
            "input": {"query": "q", "documents": ["a", "b"]},
            "parameters": {"return_documents": False, "top_n": 2},
        }

    async def test_embeddings_in_minimaxs_own_body(self, script: Script):
        script.body = {"vectors": [[3, 4]], "total_tokens": 5, "base_resp": {"status_code": 0, "status_msg": "success"}}
        async with relaying(script, task="embedding", embeddings={"shape": "minimax"}) as engine:
            answer = await engine.embed(EmbeddingRequest(model=MODEL, input="a", input_type="query"))
            await engine.embed(EmbeddingRequest(model=MODEL, input="a", input_type="passage"))

        assert answer.data[0].embedding == [0.6, 0.8]
        assert answer.usage.prompt_tokens == 5
        assert [asked["type"] for asked in script.asked] == ["query", "db"]
        assert script.asked[0]["texts"] == ["a"]


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
