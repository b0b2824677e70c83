"""Weighted reciprocal rank fusion: several ranked lists made one. Used by `hybrid`."""

from __future__ import annotations

from collections.abc import Sequence

from services.api.domain.knowledge import ChunkId, Match


def fuse(lists: Sequence[tuple[Sequence[Match], float]], *, constant: int) -> list[ChunkId]:
    """Σ weight / (constant + rank) for each chunk, rank from 1; best first.

    Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
    Methods", SIGIR 2009; the weights are ours. Ties keep the order of the first list that names the chunk.
    """
    totals: dict[ChunkId, float] = {}
    for matches, weight in lists:
        if weight <= 0:
            continue
        for rank, match in enumerate(matches, start=1):
            totals[match.id] = totals.get(match.id, 0.0) + weight / (constant + rank)
    return sorted(totals, key=lambda chunk: -totals[chunk])
