"""GatewayChatModel and GatewayEmbedder: the domain's ports over OpenAI's wire. Built by bootstrap."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

from services.api.domain.answering import Finished, ModelRequest, Sampling, Token
from services.api.domain.knowledge import EmbeddedQuery, Vector
from services.clients.openai import OpenAIClient
from services.foundation.errors import ProviderFailed
from services.wire.openai import ChatCompletionRequest, ChatMessage, EmbeddingItem


class GatewayChatModel:
    """Streams a chat completion as tokens and one Finished. An answer that breaks off is a ProviderFailed."""

    def __init__(self, client: OpenAIClient) -> None:
        self._client = client

    async def stream(self, request: ModelRequest) -> AsyncIterator[Token | Finished]:
        body = ChatCompletionRequest(
            model=request.model,
            messages=[ChatMessage(role=message.role, content=message.content) for message in request.messages],
            temperature=request.sampling.temperature,
            max_tokens=request.sampling.max_tokens,
            **_beyond_openai(request.sampling),
        )
        reason: str | None = None
        prompt_tokens, completion_tokens = 0, 0
        chunks = self._client.chat(body)
        try:
            async for chunk in chunks:
                if chunk.usage is not None:
                    prompt_tokens, completion_tokens = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
                for choice in chunk.choices:
                    reason = choice.finish_reason or reason
                    if choice.delta.content:
                        yield Token(choice.delta.content)
        finally:
            await chunks.aclose()
        if reason is None:
            raise ProviderFailed(model=request.model, reason="the stream ended before the answer did")
        yield Finished(reason, prompt_tokens, completion_tokens)


def _beyond_openai(sampling: Sampling) -> dict[str, Any]:
    """Fields that OpenAI does not know; one that is not asked for is not sent."""
    penalty = sampling.repetition_penalty
    return {} if penalty is None else {"repetition_penalty": penalty}


class GatewayEmbedder:
    """Embeds texts and queries; vectors come out L2-normalised whatever the model does.

    Args:
        client: a client of the gateway.
        unreadable_limit: share of unknown tokens above which a text gets no vector.
    """

    def __init__(self, client: OpenAIClient, unreadable_limit: float) -> None:
        self._client = client
        self._limit = unreadable_limit

    async def embed_documents(self, model: str, texts: Sequence[str]) -> list[Vector | None]:
        answer = await self._client.embed(model, texts, input_type="passage", skip_unreadable_above=self._limit)
        if len(answer.data) != len(texts):
            raise ProviderFailed(model=model, reason=f"{len(answer.data)} vectors came back for {len(texts)} texts")
        items = sorted(answer.data, key=lambda item: item.index)
        return [None if self._is_skipped(item) else _normalised(model, item) for item in items]

    async def embed_query(self, model: str, text: str) -> EmbeddedQuery:
        answer = await self._client.embed(model, [text], input_type="query", skip_unreadable_above=self._limit)
        if not answer.data:
            raise ProviderFailed(model=model, reason="no vector came back")
        item = answer.data[0]
        vector = None if self._is_skipped(item) else _normalised(model, item)
        return EmbeddedQuery(vector, item.unreadable_share or 0.0)

    def _is_skipped(self, item: EmbeddingItem) -> bool:
        return (item.unreadable_share or 0.0) > self._limit


def _normalised(model: str, item: EmbeddingItem) -> Vector:
    if isinstance(item.embedding, str):
        raise ProviderFailed(model=model, reason="a vector came back as text although numbers were asked for")
    length = math.sqrt(sum(value * value for value in item.embedding))
    if not item.embedding or not math.isfinite(length):
        raise ProviderFailed(model=model, reason="a vector is empty or not finite")
    return tuple(value / length for value in item.embedding) if length else tuple(item.embedding)
