"""Embedding similarity, where an embedding model is configured and can read the text; asked of the gateway."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal, Protocol

from services.foundation.errors import ChatchatError
from services.wire.openai import EmbeddingResponse

_LOG = logging.getLogger(__name__)

InputType = Literal["query", "passage"]


class Embed(Protocol):
    """Turns texts into L2-normalised vectors, in order; None when it cannot read them or cannot be had."""

    async def __call__(self, texts: Sequence[str], input_type: InputType) -> list[list[float]] | None: ...


async def cosines(embed: Embed, question: str, texts: Sequence[str]) -> list[float] | None:
    """The similarity of each text to the question; the texts are sent only when the question could be read."""
    asked = await embed([question], "query")
    held = await embed(texts, "passage") if asked else None
    if not asked or not held:
        return None
    return [sum(one * other for one, other in zip(asked[0], vector, strict=True)) for vector in held]


class Embeddings(Protocol):
    """What is asked of a client: OpenAIClient's `embed`."""

    async def embed(self, model: str, texts: Sequence[str], *, input_type: str | None = None) -> EmbeddingResponse: ...


class GatewayEmbed:
    """`Embed` over the gateway. An answer must come without it too, so its failures are logged, once a change of state.

    Args:
        client: a client of the gateway; closed by whoever made it.
        model: name of the embedding model.
        unreadable_limit: share of unknown tokens above which vectors say nothing.
    """

    def __init__(self, client: Embeddings, model: str, unreadable_limit: float) -> None:
        self._client = client
        self._model = model
        self._limit = unreadable_limit
        self._failing = False

    async def __call__(self, texts: Sequence[str], input_type: InputType) -> list[list[float]] | None:
        try:
            answer = await self._client.embed(self._model, texts, input_type=input_type)
        except ChatchatError as failure:
            self._turned(failing=True, reason=str(failure))
            return None
        self._turned(failing=False, reason="")
        unreadable = [item.unreadable_share or 0.0 for item in answer.data]
        if not unreadable or sum(unreadable) / len(unreadable) > self._limit:
            return None
        ordered = sorted(answer.data, key=lambda item: item.index)
        return [item.embedding for item in ordered if isinstance(item.embedding, list)]

    def _turned(self, *, failing: bool, reason: str) -> None:
        if failing and not self._failing:
            _LOG.warning("embedding model %s cannot be used; answers rest on words alone: %s", self._model, reason)
        elif self._failing and not failing:
            _LOG.info("embedding model %s can be used again", self._model)
        self._failing = failing
