"""What every engine must keep: one suite per protocol, inherited by a class per engine that supplies `engine`."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import aclosing
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.foundation.errors import ContextTooLong
from services.wire.openai import ChatChunk, ChatCompletionRequest, EmbeddingRequest, RerankRequest
from services.worker.engines.base import ChatEngine, EmbeddingEngine, EngineSpec, RerankEngine

MODEL = "model-under-test"
KEY = "sk-very-secret-0123456789"
CONTEXT_TOKENS = 2000
STORY = (
    "Say this: The harbour of the old town lies in the north. Ships bring salt, wool and timber to it. "
    "In winter the harbour freezes, and the fishermen mend their nets. 港口位于老城的北面，冬天会结冰。⚓🚢"
)


def spec(**options: object) -> EngineSpec:
    """What an engine under test is made from."""
    return EngineSpec(
        model=MODEL,
        options=options,
        context_tokens=CONTEXT_TOKENS,
        model_dir=Path("model"),
        gateway_url="http://127.0.0.1:9",
        gateway_key=SecretStr("unused"),
        timeout_seconds=20.0,
    )


async def collect(engine: ChatEngine, request: ChatCompletionRequest) -> list[ChatChunk]:
    return [chunk async for chunk in engine.chat(request)]


def text_of(chunks: list[ChatChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def reason_of(chunks: list[ChatChunk]) -> str | None:
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert len(reasons) == 1, "exactly one chunk finishes the answer"
    return reasons[0]


class ChatEngineContract:
    """`ChatEngine`. The fixture `engine` is a started engine whose answer to `asking()` has at least ten tokens."""

    def asking(self, **fields: object) -> ChatCompletionRequest:
        """A request that the engine answers at some length, always the same way."""
        messages = [{"role": "user", "content": STORY}]
        return ChatCompletionRequest.model_validate({"model": MODEL, "messages": messages, **fields})

    async def is_at_rest(self, engine: ChatEngine) -> bool:
        """Whether nothing works for the engine any more, where that can be seen from outside."""
        return True

    async def test_role_first_then_content_then_reason_then_usage(self, engine: ChatEngine):
        chunks = await collect(engine, self.asking())

        assert chunks[0].choices[0].delta.role == "assistant"
        assert not chunks[0].choices[0].delta.content
        assert all(choice.delta.role is None for chunk in chunks[1:] for choice in chunk.choices)
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].choices == []
        assert chunks[-1].usage is not None
        assert len({chunk.id for chunk in chunks}) == 1
        assert {chunk.model for chunk in chunks} == {MODEL}

    async def test_usage_counts_both_sides(self, engine: ChatEngine):
        usage = (await collect(engine, self.asking()))[-1].usage

        assert usage is not None
        assert usage.prompt_tokens > 0
        assert usage.completion_tokens >= 10
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens

    async def test_same_request_same_answer(self, engine: ChatEngine):
        first, second = [text_of(await collect(engine, self.asking())) for _ in range(2)]

        assert first == second

    async def test_stop_string_ends_the_answer_and_is_not_part_of_it(self, engine: ChatEngine):
        whole = text_of(await collect(engine, self.asking()))
        middle = len(whole) // 2
        stop = whole[middle : middle + 4]

        chunks = await collect(engine, self.asking(stop=["never-said", stop]))

        assert text_of(chunks) == whole[: whole.index(stop)]
        assert reason_of(chunks) == "stop"

    async def test_token_limit_cuts_the_answer(self, engine: ChatEngine):
        whole = text_of(await collect(engine, self.asking()))

        chunks = await collect(engine, self.asking(max_tokens=4))

        usage = chunks[-1].usage
        assert usage is not None
        assert usage.completion_tokens <= 4
        assert reason_of(chunks) == "length"
        assert 0 < len(text_of(chunks)) < len(whole)
        assert whole.startswith(text_of(chunks).rstrip())

    async def test_newer_name_of_the_token_limit(self, engine: ChatEngine):
        chunks = await collect(engine, self.asking(max_completion_tokens=4))

        assert reason_of(chunks) == "length"

    async def test_text_is_whole_characters(self, engine: ChatEngine):
        chunks = await collect(engine, self.asking())

        for chunk in chunks:
            for choice in chunk.choices:
                text = choice.delta.content or ""
                assert "�" not in text
                assert text.encode("utf-8").decode("utf-8") == text

    async def test_closing_the_iterator_stops_the_work(self, engine: ChatEngine):
        chunks = engine.chat(self.asking())
        async for chunk in chunks:
            if text_of([chunk]):
                break
        began = time.monotonic()

        await chunks.aclose()  # type: ignore[attr-defined]

        while not await self.is_at_rest(engine):
            assert time.monotonic() - began < 1.0
            await asyncio.sleep(0.01)
        assert time.monotonic() - began < 1.0

    async def test_too_long_a_request_is_refused_before_the_first_chunk(self, engine: ChatEngine):
        endless = "many words " * CONTEXT_TOKENS
        request = self.asking(messages=[{"role": "user", "content": endless}])

        with pytest.raises(ContextTooLong) as refused:
            await anext(engine.chat(request))

        assert refused.value.facts["model"] == MODEL
        assert "<" not in str(refused.value), "the sentence has all its facts"

    async def test_answers_side_by_side_are_not_mixed(self, engine: ChatEngine):
        alone = text_of(await collect(engine, self.asking()))

        together = await asyncio.gather(*(collect(engine, self.asking()) for _ in range(5)))

        assert [text_of(chunks) for chunks in together] == [alone] * 5

    async def test_it_answers_after_an_iterator_was_closed_unread(self, engine: ChatEngine):
        async with aclosing(engine.chat(self.asking())):  # type: ignore[type-var]
            pass

        assert text_of(await collect(engine, self.asking()))


def cosine(one: list[float] | str, other: list[float] | str) -> float:
    assert isinstance(one, list)
    assert isinstance(other, list)
    return sum(a * b for a, b in zip(one, other, strict=True))


class EmbeddingEngineContract:
    """`EmbeddingEngine`. The fixture `engine` is a started engine."""

    TEXTS = (
        "The cat sits on the mat.",
        "A cat is sitting on the mat.",
        "Quarterly revenue rose by seven percent.",
        "港口位于老城的北面，冬天会结冰。",
        "🚢",
        "long " * 3000,
    )

    async def test_one_unit_vector_a_text_in_order(self, engine: EmbeddingEngine):
        answer = await engine.embed(EmbeddingRequest(model=MODEL, input=list(self.TEXTS)))

        assert [item.index for item in answer.data] == list(range(len(self.TEXTS)))
        assert answer.model == MODEL
        assert len({len(item.embedding) for item in answer.data}) == 1
        for item in answer.data:
            assert math.isclose(cosine(item.embedding, item.embedding), 1.0, abs_tol=1e-5)

    async def test_order_and_company_do_not_matter(self, engine: EmbeddingEngine):
        together = await engine.embed(EmbeddingRequest(model=MODEL, input=list(reversed(self.TEXTS))))
        alone = await engine.embed(EmbeddingRequest(model=MODEL, input=self.TEXTS[0]))

        assert len(alone.data) == 1
        assert cosine(together.data[-1].embedding, alone.data[0].embedding) > 0.995

    async def test_similar_sentences_are_closer(self, engine: EmbeddingEngine):
        answer = await engine.embed(EmbeddingRequest(model=MODEL, input=list(self.TEXTS[:3])))
        first, paraphrase, other = [item.embedding for item in answer.data]

        assert cosine(first, paraphrase) > cosine(first, other) + 0.2

    async def test_usage_counts_the_texts(self, engine: EmbeddingEngine):
        short = await engine.embed(EmbeddingRequest(model=MODEL, input="a cat"))
        longer = await engine.embed(EmbeddingRequest(model=MODEL, input=["a cat", "sits on the mat"]))

        assert 0 < short.usage.prompt_tokens < longer.usage.prompt_tokens
        assert longer.usage.total_tokens == longer.usage.prompt_tokens

    async def test_unreadable_share_is_a_share(self, engine: EmbeddingEngine):
        answer = await engine.embed(EmbeddingRequest(model=MODEL, input=list(self.TEXTS)))

        for item in answer.data:
            assert item.unreadable_share is None or 0 <= item.unreadable_share <= 1


class RerankEngineContract:
    """`RerankEngine`. The fixture `engine` is a started engine."""

    QUERY = "When does the harbour freeze?"
    DOCUMENTS = (
        "Quarterly revenue rose by seven percent.",
        "The harbour does freeze when winter comes.",
        "The harbour lies in the north.",
    )

    def asking(self, **fields: object) -> RerankRequest:
        given = {"model": MODEL, "query": self.QUERY, "documents": list(self.DOCUMENTS)}
        return RerankRequest.model_validate({**given, **fields})

    async def test_best_first_each_once_in_range(self, engine: RerankEngine):
        answer = await engine.rerank(self.asking())

        relevances = [result.relevance_score for result in answer.results]
        assert relevances == sorted(relevances, reverse=True)
        assert all(0 <= relevance <= 1 for relevance in relevances)
        assert sorted(result.index for result in answer.results) == [0, 1, 2]
        assert answer.results[0].index == 1
        assert answer.usage.total_tokens > 0

    async def test_top_n_keeps_the_best(self, engine: RerankEngine):
        answer = await engine.rerank(self.asking(top_n=1))

        assert [result.index for result in answer.results] == [1]

    async def test_documents_come_back_when_asked_for(self, engine: RerankEngine):
        without = await engine.rerank(self.asking())
        with_documents = await engine.rerank(self.asking(return_documents=True))

        assert all(result.document is None for result in without.results)
        assert [result.document for result in with_documents.results] == [
            self.DOCUMENTS[result.index] for result in with_documents.results
        ]
