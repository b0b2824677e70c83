"""OpenAICompatibleEngine: relays to any provider that speaks OpenAI's wire. No network is touched before a request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from pydantic import JsonValue

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
from services.worker.engines.options import read_options
from services.worker.engines.remote.fields import outgoing
from services.worker.engines.remote.length import checked_length
from services.worker.engines.remote.line import Line
from services.worker.engines.remote.reach import RemoteOptions, reach_of
from services.worker.engines.remote.stream import as_promised, read_chunks
from services.worker.engines.remote.vectors import (
    counted,
    embedding_payload,
    read_ranking,
    read_vectors,
    rerank_payload,
)


class OpenAICompatibleEngine:
    """Chat, embeddings and rerank of a provider. Fields that its rules do not name are passed on as they came."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._options = read_options(spec, RemoteOptions)
        self._reach = reach_of(spec, self._options)
        self._line = Line(self._reach)

    @property
    def concurrency(self) -> int:
        return self._options.concurrency

    async def start(self) -> None:
        await self._line.open()

    async def stop(self) -> None:
        await self._line.close()

    def chat(self, request: ChatCompletionRequest) -> AsyncIterator[ChatChunk]:
        prompt_tokens = checked_length(request, self._spec.context_tokens)
        fields: dict[str, JsonValue] = request.model_dump(exclude_unset=True, exclude={"stream", "stream_options"})
        return as_promised(request, prompt_tokens, self._chunks(self._payload(fields)))

    async def _chunks(self, payload: dict[str, JsonValue]) -> AsyncGenerator[ChatChunk, None]:
        payload["stream"] = True
        if self._reach.provider.asks_usage:
            payload["stream_options"] = {"include_usage": True}
        async with self._line.stream("chat/completions", payload) as body:
            async for chunk in read_chunks(body, self._reach.reader):
                yield chunk

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        rules, texts = self._reach.provider.embeddings, request.texts
        items: list[EmbeddingItem] = []
        tokens = 0
        for start in range(0, len(texts), rules.batch_limit):
            batch = texts[start : start + rules.batch_limit]
            payload = self._payload(embedding_payload(request, batch, rules.shape))
            body = await self._line.exchange("embeddings", payload)
            vectors, usage = read_vectors(body, batch, rules.shape, self._reach.reader)
            items += [EmbeddingItem(index=start + place, embedding=vector) for place, vector in enumerate(vectors)]
            tokens += usage.prompt_tokens
        usage = Usage(prompt_tokens=tokens, total_tokens=tokens)
        return EmbeddingResponse(data=items, model=request.model, usage=usage)

    async def rerank(self, request: RerankRequest) -> RerankResponse:
        rules, documents = self._reach.provider.rerank, request.documents
        payload = self._payload(rerank_payload(request, rules.shape))
        body = await self._line.exchange(rules.path, payload)
        ranking = read_ranking(body, len(documents), self._reach.reader)[: request.top_n]
        results = [
            RerankResult(
                index=each.index,
                relevance_score=each.relevance,
                document=documents[each.index] if request.return_documents else None,
            )
            for each in ranking
        ]
        return RerankResponse(model=request.model, results=results, usage=counted([request.query, *documents]))

    def _payload(self, fields: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {**outgoing(fields, self._reach.provider.fields), "model": self._reach.upstream}
