"""One search in several wordings: the question, and the question beside what it may lean on. Used by `hybrid`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence

from services.api.domain.knowledge import ChunkId, Hit, Match
from services.api.domain.ports import Reranker
from services.api.domain.retrieval import Candidate, Explanation, Fate, Query, Retrieved
from services.api.knowledge.retrieval.fusion import fuse

_LEAST_LIST = 10
"""Hits of each wording that are fused, at least: one that several share shall win over the first of a single one."""

Search = Callable[[Query], Awaitable[Retrieved]]


async def search_all(query: Query, search: Search, *, constant: int) -> Retrieved:
    """The hits of all wordings, fused by their ranks, the question's own list weighing 1; `top_k` of them.

    A hit is as the first wording found it that found it: similarity and relevance are of that.
    """
    texts = {query.text: 1.0} | {one.text: one.weight for one in query.wordings if one.text != query.text}
    deeper = dataclasses.replace(query, wordings=(), widen_chars=0, top_k=max(query.top_k, _LEAST_LIST))
    found = await asyncio.gather(*(search(dataclasses.replace(deeper, text=text)) for text in texts))
    lists = [[Match(hit.chunk.id, hit.similarity) for hit in one.hits] for one in found]
    order = fuse(list(zip(lists, texts.values(), strict=True)), constant=constant)
    known = {hit.chunk.id: hit for one in reversed(found) for hit in one.hits}
    hits = tuple(known[id_] for id_ in order[: query.top_k])
    return Retrieved(hits, _explained(query, found, order, hits))


async def judged(query: Query, hits: Sequence[Hit], reranker: Reranker) -> tuple[Hit, ...]:
    """The same hits in their order, with the relevance they have to the question itself."""
    again = await reranker.rerank(query.text, hits, limit=len(hits))
    relevance = {hit.chunk.id: hit.relevance for hit in again}
    return tuple(dataclasses.replace(hit, relevance=relevance[hit.chunk.id]) for hit in hits)


def _explained(query: Query, found: Sequence[Retrieved], order: Sequence[ChunkId], hits: Sequence[Hit]) -> Explanation:
    """The question's own search, then the candidates that only other wordings found; the last ranks are of all."""
    own = found[0].explanation
    final = {id_: rank for rank, id_ in enumerate(order, start=1)}
    used = {hit.chunk.id for hit in hits}
    candidates: dict[ChunkId, Candidate] = {}
    for one in found:
        for candidate in one.explanation.candidates:
            candidates.setdefault(candidate.id, candidate)
    told = tuple(_fated(candidate, final.get(candidate.id), used) for candidate in candidates.values())
    stages = {stage for one in found for stage in one.explanation.milliseconds}
    longest = {stage: max(one.explanation.milliseconds.get(stage, 0.0) for one in found) for stage in stages}
    wordings = tuple(one.text for one in query.wordings if one.text != query.text)
    return Explanation(own.query, own.arms, told, longest, wordings)


def _fated(candidate: Candidate, rank: int | None, used: set[ChunkId]) -> Candidate:
    fate = Fate.USED if candidate.id in used else candidate.fate if rank is None else Fate.CUT
    return dataclasses.replace(candidate, final_rank=rank, fate=fate)
