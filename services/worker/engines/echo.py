"""EchoEngine: deterministic and without weights. Powers the tests of everything that needs a model."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections import Counter
from collections.abc import AsyncIterator

from pydantic import Field

from services.foundation.errors import EngineFailed
from services.wire.openai import (
    ChatChunk,
    ChatCompletionRequest,
    EmbeddingItem,
    EmbeddingRequest,
    EmbeddingResponse,
    RerankRequest,
    RerankResponse,
    RerankResult,
    Usage,
)
from services.worker.engines.base import EngineSpec
from services.worker.engines.options import Options, read_options
from services.worker.engines.text import chat_chunks, check_length, count_tokens, tokens_of

_DIMENSIONS = 64
# An ideograph, a word of up to 16 letters (longer ones letter by letter), each with the white space after it.
_UNIT = re.compile(r"[\u3400-\u9fff]\s*|[^\s\u3400-\u9fff]{1,16}(?![^\s\u3400-\u9fff])\s*|\S|\s+")


class EchoOptions(Options):
    """Options of the echo engine."""

    prefix: str = Field(default="", description="Written before the echoed text.")
    pieces: int = Field(
        default=8,
        ge=1,
        description="An answer comes in at most this many pieces, cut between words or inside very long ones.",
    )
    delay_seconds: float = Field(default=0.0, ge=0, description="Pause before each piece.")
    fail_after: int | None = Field(default=None, ge=0, description="Raise EngineFailed after this many pieces.")
    concurrency: int = Field(default=64, ge=1, description="Requests run at a time.")


class EchoEngine:
    """Repeats what it is told.

    chat: the answer is `prefix` followed by the text of the last user message, unchanged.
    embedding: 64 numbers from hashes of the text's tokens, so that texts with common words are similar.
    rerank: relevance is the share of the query's tokens that the text holds.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._options = read_options(spec, EchoOptions)

    @property
    def concurrency(self) -> int:
        return self._options.concurrency

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return

    def chat(self, request: ChatCompletionRequest) -> AsyncIterator[ChatChunk]:
        prompt_tokens = check_length(request, self._spec.context_tokens)
        said = [message.text for message in request.messages if message.role == "user"]
        answer = self._options.prefix + (said[-1] if said else "")
        return chat_chunks(request, self._pieces(answer), prompt_tokens=prompt_tokens)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        items = [EmbeddingItem(index=place, embedding=_vector(text)) for place, text in enumerate(request.texts)]
        tokens = sum(count_tokens(text) for text in request.texts)
        usage = Usage(prompt_tokens=tokens, total_tokens=tokens)
        return EmbeddingResponse(data=items, model=request.model, usage=usage)

    async def rerank(self, request: RerankRequest) -> RerankResponse:
        wanted = set(tokens_of(request.query.lower()))
        results = []
        for place, text in enumerate(request.documents):
            shared = len(wanted & set(tokens_of(text.lower()))) / (len(wanted) or 1)
            document = text if request.return_documents else None
            results.append(RerankResult(index=place, relevance_score=shared, document=document))
        results.sort(key=lambda result: result.relevance_score, reverse=True)
        tokens = count_tokens(request.query) + sum(count_tokens(text) for text in request.documents)
        usage = Usage(prompt_tokens=tokens, total_tokens=tokens)
        return RerankResponse(model=request.model, results=results[: request.top_n], usage=usage)

    async def _pieces(self, answer: str) -> AsyncIterator[str]:
        units = _UNIT.findall(answer)
        size = max(1, math.ceil(len(units) / self._options.pieces))
        for number, start in enumerate(range(0, len(units), size)):
            if self._options.fail_after is not None and number >= self._options.fail_after:
                raise EngineFailed(model=self._spec.model, reason=f"told to fail after {number} pieces")
            await asyncio.sleep(self._options.delay_seconds)
            yield "".join(units[start : start + size])


def _vector(text: str) -> list[float]:
    """A unit vector; a text without tokens points along the first axis."""
    numbers = [0.0] * _DIMENSIONS
    for token, times in Counter(tokens_of(text.lower())).items():
        digest = hashlib.blake2b(token.encode(), digest_size=8).digest()
        numbers[int.from_bytes(digest[:4]) % _DIMENSIONS] += times if digest[4] % 2 else -times
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers] if length else [1.0, *numbers[1:]]
