"""Question → hits: keyword and dense candidates, fused, then ordered anew by a reranker. Search and chat share it."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Mapping, Sequence, Set

from services.api.domain.knowledge import Chunk, ChunkId, Hit, KnowledgeBase
from services.api.domain.ports import Embedder, Reranker
from services.api.domain.retrieval import Arm, ArmKind, Filter, Query, Retrieved, SearchMode
from services.api.knowledge.ingest import Indexes
from services.api.knowledge.retrieval.diversity import distinct_first
from services.api.knowledge.retrieval.explaining import Course, Listing, Stopwatch, placed
from services.api.knowledge.retrieval.fusion import fuse
from services.api.knowledge.retrieval.respelling import respelt
from services.api.knowledge.retrieval.widening import Widener
from services.api.knowledge.retrieval.wordings import judged, search_all
from services.api.knowledge.text_index.tokens import holds
from services.foundation.errors import QueryUnreadable
from services.foundation.settings.tree import Retrieval

# Passages that hold the words of an exact search, the best first, are looked through for the text itself: so many.
_LOOKED_THROUGH = 500

log = logging.getLogger(__name__)


class HybridRetriever:
    """Keyword search finds exact words in any language; dense search finds paraphrase where the embedder can read.

    The dense list is weighted down by the share of the query's tokens that the embedder does not know, and left out
    when that share passes the configured limit: an embedder that cannot read the language would only add noise.
    The lists of several bases are fused together. Without a reranker the hits keep the order of the fusion.
    """

    def __init__(
        self, indexes: Indexes, embedder: Embedder, settings: Retrieval, reranker: Reranker | None = None
    ) -> None:
        self._indexes = indexes
        self._widener = Widener(indexes.storage)
        self._embedder = embedder
        self._settings = settings
        self._reranker = reranker

    async def retrieve(self, query: Query) -> Retrieved:
        retrieved = await self._in_all_wordings(query) if query.wordings else await self._in_one_wording(query)
        if not query.widen_chars:
            return retrieved
        watch = Stopwatch()
        with watch.timing("widen"):
            hits = await self._widener.widen(retrieved.hits, limit_chars=query.widen_chars)
        took = {**retrieved.explanation.milliseconds, **watch.milliseconds}
        return Retrieved(hits, dataclasses.replace(retrieved.explanation, milliseconds=took))

    async def _in_all_wordings(self, query: Query) -> Retrieved:
        retrieved = await search_all(query, self._in_one_wording, constant=self._settings.rrf_constant)
        if self._reranker is None:
            return retrieved
        return Retrieved(await judged(query, retrieved.hits, self._reranker), retrieved.explanation)

    async def _in_one_wording(self, query: Query) -> Retrieved:
        if query.mode is SearchMode.FUZZY:
            query = await self._respelt(query)
        watch = Stopwatch()
        searched = await asyncio.gather(*(self._search(query, base, watch) for base in query.knowledge_bases))
        listings = [listing for of_base in searched for listing in of_base]
        fused = fuse(
            [(listing.matches, listing.arm.weight) for listing in listings], constant=self._settings.rrf_constant
        )
        with watch.timing("fetch"):
            chunks = await self._fetch(query, fused)
        similar = [hit for hit in _hits(fused, chunks, listings) if hit.similarity >= query.min_similarity]
        if query.mode is SearchMode.EXACT:
            similar = await asyncio.to_thread(_holding, similar, query.text)
        ordered = await self._ordered(query, similar, watch)
        if query.distinct:
            ordered = await asyncio.to_thread(distinct_first, ordered)
        hits = tuple(ordered[: query.top_k])
        course = Course(query, listings, fused, chunks, similar, ordered, hits)
        return Retrieved(hits, course.explanation(watch))

    async def _search(self, query: Query, base: KnowledgeBase, watch: Stopwatch) -> tuple[Listing, Listing]:
        among = None if query.filter is None else await self._allowed(base, query.filter)
        return await asyncio.gather(self._keyword(query, base, among, watch), self._dense(query, base, among, watch))

    async def _respelt(self, query: Query) -> Query:
        held = [await self._indexes.keywords.terms(base.id) for base in query.knowledge_bases]
        text = await asyncio.to_thread(lambda: respelt(query.text, frozenset().union(*held)))
        return dataclasses.replace(query, text=text)

    async def _allowed(self, base: KnowledgeBase, wanted: Filter) -> Set[ChunkId]:
        async with self._indexes.storage.begin() as work:
            files = {file.id for file in await work.files.of_base(base.id) if wanted.file(file.name)}
            places = await work.chunks.places(base.id, files)
        return frozenset(chunk for chunk, place in places.items() if wanted.place is None or wanted.place(place))

    async def _keyword(
        self, query: Query, base: KnowledgeBase, among: Set[ChunkId] | None, watch: Stopwatch
    ) -> Listing:
        if query.mode is SearchMode.SEMANTIC:
            return _left_out(base, ArmKind.KEYWORD, "mode")
        with watch.timing("keyword"):
            is_exact = query.mode is SearchMode.EXACT
            limit = _LOOKED_THROUGH if is_exact else max(self._settings.candidates, query.top_k)
            matches = await self._indexes.keywords.search(base.id, query.text, limit=limit, among=among)
        return Listing(Arm(base.name, ArmKind.KEYWORD, len(matches), self._settings.keyword_weight), matches)

    async def _dense(self, query: Query, base: KnowledgeBase, among: Set[ChunkId] | None, watch: Stopwatch) -> Listing:
        if query.mode is SearchMode.EXACT:
            return _left_out(base, ArmKind.DENSE, "mode")
        is_alone = query.mode is SearchMode.SEMANTIC
        if self._settings.dense_weight == 0 and not is_alone:
            return _left_out(base, ArmKind.DENSE, "no weight")
        if base.dimensions is None:
            return _left_out(base, ArmKind.DENSE, "no vectors")
        with watch.timing("embed"):
            embedded = await self._embedder.embed_query(base.embedding_model, query.text)
        bound = self._settings.unreadable_share
        if embedded.vector is None or embedded.unreadable_share > bound:
            log.debug("dense list left out: %.0f %% of the query unreadable", 100 * embedded.unreadable_share)
            if is_alone:
                raise QueryUnreadable(model=base.embedding_model)
            return _left_out(base, ArmKind.DENSE, "unreadable")
        readable = 1 - embedded.unreadable_share / bound if bound else 1.0
        with watch.timing("dense"):
            limit = max(self._settings.candidates, query.top_k)
            matches = await self._indexes.vectors.search(base.id, embedded.vector, limit=limit, among=among)
        weight = 1.0 if is_alone else self._settings.dense_weight * readable
        return Listing(Arm(base.name, ArmKind.DENSE, len(matches), weight), matches)

    async def _fetch(self, query: Query, ids: Sequence[ChunkId]) -> dict[ChunkId, Chunk]:
        """What the metadata database does not know (deleted, or being indexed) does not count."""
        async with self._indexes.storage.begin() as work:
            return {
                chunk.id: chunk for base in query.knowledge_bases for chunk in await work.chunks.fetch(base.id, ids)
            }

    async def _ordered(self, query: Query, similar: Sequence[Hit], watch: Stopwatch) -> Sequence[Hit]:
        if self._reranker is None:
            return similar
        count = max(self._settings.reranked, query.top_k)
        with watch.timing("rerank"):
            return await self._reranker.rerank(query.text, similar[:count], limit=count)


def _left_out(base: KnowledgeBase, kind: ArmKind, reason: str) -> Listing:
    return Listing(Arm(base.name, kind, 0, 0.0, reason))


def _holding(hits: Sequence[Hit], text: str) -> list[Hit]:
    return [hit for hit in hits if holds(hit.chunk.indexed_text, text)]


def _hits(fused: Sequence[ChunkId], chunks: Mapping[ChunkId, Chunk], listings: Sequence[Listing]) -> list[Hit]:
    keyword, dense = placed(listings, ArmKind.KEYWORD), placed(listings, ArmKind.DENSE)
    coverage = {id_: similarity for id_, (_, similarity) in keyword.items()}
    cosine = {id_: similarity for id_, (_, similarity) in dense.items()}
    return [
        Hit(
            chunk=chunks[id_],
            similarity=max(coverage.get(id_, 0.0), cosine.get(id_, 0.0)),
            cosine=cosine.get(id_),
            coverage=coverage.get(id_),
        )
        for id_ in fused
        if id_ in chunks
    ]
