"""How a search is explained afterwards: what each stage was given and made of it. Used by `hybrid`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from services.api.domain.knowledge import Chunk, ChunkId, Hit, Match
from services.api.domain.retrieval import Arm, ArmKind, Candidate, Explanation, Fate, Query


@dataclass(frozen=True, slots=True)
class Listing:
    """What one arm found in one base, best first."""

    arm: Arm
    matches: Sequence[Match] = ()


class Stopwatch:
    """How long each stage took; of stages that ran side by side, the longest counts."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            took = 1000 * (time.perf_counter() - began)
            self.milliseconds[stage] = max(took, self.milliseconds.get(stage, 0.0))


@dataclass(frozen=True, slots=True)
class Course:
    """A search, stage by stage.

    Attributes:
        listings: of all arms and bases.
        fused: all candidates, best first.
        chunks: those of them that the metadata database knows.
        similar: the hits that are similar enough, in the order of the fusion.
        ordered: those that were ordered anew, in their new order.
        hits: what the search gives.
    """

    query: Query
    listings: Sequence[Listing]
    fused: Sequence[ChunkId]
    chunks: Mapping[ChunkId, Chunk]
    similar: Sequence[Hit]
    ordered: Sequence[Hit]
    hits: Sequence[Hit]

    def explanation(self, watch: Stopwatch) -> Explanation:
        """What became of every candidate."""
        keyword, dense = placed(self.listings, ArmKind.KEYWORD), placed(self.listings, ArmKind.DENSE)
        names = {base.id: base.name for base in self.query.knowledge_bases}
        final = {hit.chunk.id: (rank, hit.relevance) for rank, hit in enumerate(self.ordered, start=1)}
        fates = self._fates()
        candidates = []
        for rank, id_ in enumerate(self.fused, start=1):
            chunk = self.chunks.get(id_)
            keyword_rank, coverage = keyword.get(id_, (None, None))
            dense_rank, cosine = dense.get(id_, (None, None))
            final_rank, relevance = final.get(id_, (None, None))
            candidates.append(
                Candidate(
                    id=id_,
                    fused_rank=rank,
                    fate=fates[id_],
                    knowledge_base=names[chunk.knowledge_base_id] if chunk else None,
                    file_name=chunk.file_name if chunk else None,
                    place=chunk.place if chunk else None,
                    keyword_rank=keyword_rank,
                    coverage=coverage,
                    dense_rank=dense_rank,
                    cosine=cosine,
                    final_rank=final_rank,
                    relevance=relevance,
                )
            )
        arms = tuple(listing.arm for listing in self.listings)
        return Explanation(self.query.text, arms, tuple(candidates), dict(watch.milliseconds))

    def _fates(self) -> dict[ChunkId, Fate]:
        """The last stage that a candidate reached."""
        reached = (
            (Fate.UNKNOWN, self.fused),
            (Fate.UNSIMILAR, self.chunks),
            (Fate.UNRANKED, [hit.chunk.id for hit in self.similar]),
            (Fate.CUT, [hit.chunk.id for hit in self.ordered]),
            (Fate.USED, [hit.chunk.id for hit in self.hits]),
        )
        return {id_: fate for fate, ids in reached for id_ in ids}


def placed(listings: Sequence[Listing], kind: ArmKind) -> dict[ChunkId, tuple[int, float]]:
    """Rank and similarity of each candidate in its base's list of an arm."""
    return {
        match.id: (rank, match.similarity)
        for listing in listings
        if listing.arm.kind is kind
        for rank, match in enumerate(listing.matches, start=1)
    }
