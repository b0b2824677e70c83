"""A VectorStore in memory, searched by brute force. Runs the same contract as the real one."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set

from services.api.domain.knowledge import ChunkId, EmbeddedChunk, KnowledgeBaseId, Match, Vector
from services.foundation.errors import EmbedderChanged


def _cosine(one: Vector, other: Vector) -> float:
    length = math.hypot(*one) * math.hypot(*other)
    return min(1.0, max(0.0, sum(a * b for a, b in zip(one, other, strict=True)) / length)) if length else 0.0


class MemoryStore:
    def __init__(self) -> None:
        self._bases: dict[KnowledgeBaseId, dict[ChunkId, Vector]] = {}
        self._dimensions: dict[KnowledgeBaseId, int] = {}

    def _check(self, base: KnowledgeBaseId, vector: Vector, expected: int | None) -> None:
        if expected is not None and len(vector) != expected:
            raise EmbedderChanged(name=base, model="", expected=expected, actual=len(vector))

    async def upsert(self, base: KnowledgeBaseId, chunks: Sequence[EmbeddedChunk]) -> None:
        if not chunks:
            return
        expected = self._dimensions.get(base, len(chunks[0].vector))
        for chunk in chunks:
            self._check(base, chunk.vector, expected)
        self._dimensions[base] = expected
        self._bases.setdefault(base, {}).update((chunk.id, chunk.vector) for chunk in chunks)

    async def remove(self, base: KnowledgeBaseId, ids: Sequence[ChunkId]) -> None:
        for id_ in ids:
            self._bases.get(base, {}).pop(id_, None)

    async def search(
        self, base: KnowledgeBaseId, vector: Vector, *, limit: int, among: Set[ChunkId] | None = None
    ) -> list[Match]:
        self._check(base, vector, self._dimensions.get(base))
        matches = [
            Match(id_, _cosine(vector, kept))
            for id_, kept in self._bases.get(base, {}).items()
            if among is None or id_ in among
        ]
        return sorted(matches, key=lambda match: -match.similarity)[: max(0, limit)]

    async def ids(self, base: KnowledgeBaseId) -> set[ChunkId]:
        return set(self._bases.get(base, {}))

    async def bases(self) -> set[KnowledgeBaseId]:
        return set(self._bases)

    async def drop(self, base: KnowledgeBaseId) -> None:
        self._bases.pop(base, None)
        self._dimensions.pop(base, None)

    async def start(self) -> None:
        """Nothing is to be opened."""

    async def stop(self) -> None:
        """Nothing is to be closed."""
