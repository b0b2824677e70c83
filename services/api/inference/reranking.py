"""GatewayReranker: a cross-encoder behind the gateway orders the hits. Implements `Reranker`; built by bootstrap."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from services.api.domain.knowledge import Hit
from services.clients.openai import OpenAIClient
from services.foundation.errors import ProviderFailed
from services.wire.openai import RerankRequest


class GatewayReranker:
    """Asks the model for the relevance of every hit.

    Args:
        client: a client of the gateway.
        model: name of the rerank model.
    """

    def __init__(self, client: OpenAIClient, model: str) -> None:
        self._client = client
        self._model = model

    async def rerank(self, query: str, hits: Sequence[Hit], *, limit: int) -> list[Hit]:
        if not hits:
            return []
        texts = [hit.chunk.indexed_text for hit in hits]
        answer = await self._client.rerank(RerankRequest(model=self._model, query=query, documents=texts))
        relevance = {result.index: result.relevance_score for result in answer.results}
        if relevance.keys() != set(range(len(hits))):
            reason = f"it judged {len(relevance)} of {len(hits)} passages"
            raise ProviderFailed(model=self._model, reason=reason)
        judged = [dataclasses.replace(hit, relevance=relevance[number]) for number, hit in enumerate(hits)]
        return sorted(judged, key=lambda hit: -(hit.relevance or 0.0))[:limit]
