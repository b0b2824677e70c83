"""The domain's ports over OpenAI's wire: what is asked, and what is made of the answer."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from services.api.domain.answering import Finished, ModelRequest, Sampling, Token
from services.api.domain.conversation import Message
from services.api.domain.ports import ChatModel, Embedder
from services.api.inference.gateway import GatewayChatModel, GatewayEmbedder
from services.clients.openai import OpenAIClient
from services.foundation.errors import EngineFailed, ProviderFailed
from services.wire.openai import ChatChunk, ChatCompletionRequest, EmbeddingResponse
from tests.fakes.chat_model import FakeChatModel
from tests.fakes.embedder import FakeEmbedder

PORTS: tuple[tuple[ChatModel, Embedder], ...] = (
    (GatewayChatModel(OpenAIClient("http://x", timeout_seconds=1)), FakeEmbedder()),
    (FakeChatModel(), GatewayEmbedder(OpenAIClient("http://x", timeout_seconds=1), 0.3)),
)
"""Checked by mypy: variants and fakes are the ports they claim to be."""
REQUEST = ModelRequest("qwen", [Message("user", "你好"), Message("assistant", "好")], Sampling(0.3, 20))


class ScriptedClient(OpenAIClient):
    """Gives what it was told to, and keeps what it was asked."""

    def __init__(self, *chunks: dict[str, Any] | Exception, vectors: list[dict[str, Any]] | None = None) -> None:
        super().__init__("http://nowhere", timeout_seconds=1)
        self._chunks = chunks
        self._vectors = vectors or []
        self.asked: list[Any] = []
        self.closed = False

    async def chat(self, request: ChatCompletionRequest) -> AsyncGenerator[ChatChunk, None]:
        self.asked.append(request)
        try:
            for chunk in self._chunks:
                if isinstance(chunk, Exception):
                    raise chunk
                yield ChatChunk.model_validate({"id": "c", "model": "m", "choices": [], **chunk})
        finally:
            self.closed = True

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        input_type: str | None = None,
        skip_unreadable_above: float | None = None,
    ) -> EmbeddingResponse:
        assert skip_unreadable_above == 0.3
        self.asked.append((model, list(texts), input_type))
        return EmbeddingResponse.model_validate({"data": self._vectors, "model": model, "usage": {}})


def says(content: str | None, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": content}, "finish_reason": reason}]}


async def test_a_stream_becomes_tokens_and_one_finished():
    usage = {"usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}
    client = ScriptedClient(says(""), says("你"), says(None), says("好", "length"), usage)
    assert [event async for event in GatewayChatModel(client).stream(REQUEST)] == [
        Token("你"),
        Token("好"),
        Finished("length", 7, 2),
    ]
    (asked,) = client.asked
    assert (asked.model, asked.temperature, asked.max_tokens) == ("qwen", 0.3, 20)
    assert [(message.role, message.text) for message in asked.messages] == [("user", "你好"), ("assistant", "好")]


@pytest.mark.parametrize(("penalty", "sent"), [(1.2, {"repetition_penalty": 1.2}), (None, {})])
async def test_a_repetition_penalty_is_sent_only_when_it_is_asked_for(penalty: float | None, sent: dict[str, float]):
    client = ScriptedClient(says("好", "stop"))
    request = ModelRequest("qwen", [Message("user", "你好")], Sampling(repetition_penalty=penalty))
    assert [event async for event in GatewayChatModel(client).stream(request)]
    body = client.asked[0].model_dump(exclude_none=True)
    assert {name: value for name, value in body.items() if name == "repetition_penalty"} == sent


async def test_an_answer_that_breaks_off_is_no_whole_answer():
    stream = GatewayChatModel(ScriptedClient(says("你"))).stream(REQUEST)
    assert await anext(stream) == Token("你")
    with pytest.raises(ProviderFailed, match="ended before"):
        await anext(stream)


async def test_a_failure_passes_through():
    client = ScriptedClient(says("你"), EngineFailed(model="m", reason="boom"))
    stream = GatewayChatModel(client).stream(REQUEST)
    assert await anext(stream) == Token("你")
    with pytest.raises(EngineFailed):
        await anext(stream)
    assert client.closed


async def test_closing_the_stream_closes_the_connection():
    client = ScriptedClient(says("你"), says("好"))
    stream: Any = GatewayChatModel(client).stream(REQUEST)
    await anext(stream)
    await stream.aclose()
    assert client.closed


async def test_vectors_come_in_the_order_of_the_texts_and_normalised():
    client = ScriptedClient(vectors=[{"index": 1, "embedding": [0.0, 5.0]}, {"index": 0, "embedding": [3.0, 4.0]}])
    assert await GatewayEmbedder(client, 0.3).embed_documents("m", ["a", "b"]) == [(0.6, 0.8), (0.0, 1.0)]
    assert client.asked == [("m", ["a", "b"], "passage")]


async def test_a_query_comes_with_its_unreadable_share():
    client = ScriptedClient(vectors=[{"index": 0, "embedding": [2.0], "unreadable_share": 0.25}])
    found = await GatewayEmbedder(client, 0.3).embed_query("m", "问")
    assert (found.vector, found.unreadable_share) == ((1.0,), 0.25)
    assert client.asked == [("m", ["问"], "query")]


async def test_what_the_model_cannot_read_has_no_vector():
    skipped = {"index": 0, "embedding": [], "unreadable_share": 0.6}
    readable = {"index": 1, "embedding": [2.0], "unreadable_share": 0.1}
    client = ScriptedClient(vectors=[skipped, readable])
    assert await GatewayEmbedder(client, 0.3).embed_documents("m", ["年报", "report"]) == [None, (1.0,)]
    query = await GatewayEmbedder(ScriptedClient(vectors=[skipped]), 0.3).embed_query("m", "年报")
    assert (query.vector, query.unreadable_share) == (None, 0.6)


async def test_an_unknown_share_is_none_at_all():
    client = ScriptedClient(vectors=[{"index": 0, "embedding": [2.0]}])
    assert (await GatewayEmbedder(client, 0.3).embed_query("m", "q")).unreadable_share == 0.0


async def test_a_vector_of_zeros_stays_zeros():
    client = ScriptedClient(vectors=[{"index": 0, "embedding": [0.0, 0.0]}])
    assert await GatewayEmbedder(client, 0.3).embed_documents("m", [""]) == [(0.0, 0.0)]


@pytest.mark.parametrize("embedding", ["AACAPw==", [], [math.nan], [math.inf, 1.0], [1e308, 1e308]])
async def test_a_vector_that_is_none_is_named(embedding: Any):
    client = ScriptedClient(vectors=[{"index": 0, "embedding": embedding}])
    with pytest.raises(ProviderFailed):
        await GatewayEmbedder(client, 0.3).embed_query("m", "q")


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_a_wrong_number_of_vectors_is_named(count: int):
    client = ScriptedClient(vectors=[{"index": index, "embedding": [1.0]} for index in range(count)])
    with pytest.raises(ProviderFailed, match=f"{count} vectors came back for 2 texts"):
        await GatewayEmbedder(client, 0.3).embed_documents("m", ["a", "b"])


async def test_no_vector_for_a_query_is_named():
    with pytest.raises(ProviderFailed):
        await GatewayEmbedder(ScriptedClient(), 0.3).embed_query("m", "q")


async def test_the_fake_embedder_knows_likeness():
    embedder = FakeEmbedder()
    cat, cats, law = await embedder.embed_documents("m", ["a black cat", "black cats", "劳动合同法"])
    again = (await embedder.embed_query("m", "a black cat")).vector
    assert cat is not None
    assert cats is not None
    assert law is not None

    def cosine(one: Sequence[float], other: Sequence[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert again == cat
    assert cosine(cat, cat) == pytest.approx(1.0)
    assert cosine(cat, cats) > 0.5 > cosine(cat, law)
