"""Question → hits: keyword and dense candidates, fused, then ordered anew by a reranker. Search and chat share it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from services.api.domain.knowledge import ChunkId, Hit, KnowledgeBase, Match, Query
from services.api.domain.ports import Embedder, Reranker
from services.api.knowledge.ingest import Indexes
from services.api.knowledge.retrieval.fusion import fuse
from services.foundation.settings.tree import Retrieval

log = logging.getLogger(__name__)


class HybridRetriever:
    """Keyword search finds exact words in any language; dense search finds paraphrase where the embedder can read.

    The dense list is weighted down by the share of the query's tokens that the embedder does not know, and left out
    when that share passes the configured limit: an embedder that cannot read the language would only add noise.
    Without a reranker the hits keep the order of the fusion.
    """

    def __init__(
        self, indexes: Indexes, embedder: Embedder, settings: Retrieval, reranker: Reranker | None = None
    ) -> None:
        self._indexes = indexes
        self._embedder = embedder
        self._settings = settings
        self._reranker = reranker

    async def retrieve(self, query: Query) -> list[Hit]:
        limit = max(self._settings.candidates, query.top_k)
        keyword, (dense, dense_weight) = await asyncio.gather(
            self._indexes.keywords.search(query.knowledge_base.id, query.text, limit=limit),
            self._dense(query.knowledge_base, query.text, limit),
        )
        ranked = fuse(
            [(keyword, self._settings.keyword_weight), (dense, dense_weight)], constant=self._settings.rrf_constant
        )
        hits = await self._hits(query, ranked, keyword, dense)
        if self._reranker is None:
            return hits[: query.top_k]
        return await self._reranker.rerank(query.text, hits[: self._settings.reranked], limit=query.top_k)

    async def _dense(self, base: KnowledgeBase, text: str, limit: int) -> tuple[list[Match], float]:
        if self._settings.dense_weight == 0 or base.dimensions is None:
            return [], 0.0
        embedded = await self._embedder.embed_query(base.embedding_model, text)
        bound = self._settings.unreadable_share
        if embedded.vector is None or embedded.unreadable_share > bound:
            log.debug("dense list left out: %.0f %% of the query unreadable", 100 * embedded.unreadable_share)
            return [], 0.0
        readable = 1 - embedded.unreadable_share / bound if bound else 1.0
        matches = await self._indexes.vectors.search(base.id, embedded.vector, limit=limit)
        return matches, self._settings.dense_weight * readable

    async def _hits(
        self, query: Query, ranked: Sequence[ChunkId], keyword: Sequence[Match], dense: Sequence[Match]
    ) -> list[Hit]:
        """Look the chunks up; what the metadata database does not know (deleted, or being indexed) does not count."""
        async with self._indexes.storage.begin() as work:
            found = {chunk.id: chunk for chunk in await work.chunks.fetch(query.knowledge_base.id, ranked)}
        coverage = {match.id: match.similarity for match in keyword}
        cosine = {match.id: match.similarity for match in dense}
        hits = [
            Hit(
                chunk=found[chunk],
                similarity=max(coverage.get(chunk, 0.0), cosine.get(chunk, 0.0)),
                cosine=cosine.get(chunk),
                coverage=coverage.get(chunk),
            )
            for chunk in ranked
            if chunk in found
        ]
        return [hit for hit in hits if hit.similarity >= query.min_similarity]
