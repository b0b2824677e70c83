"""A TextIndex in memory: words and character bigrams, ranked by coverage. Runs the same contract as the real one."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence, Set

from services.api.domain.knowledge import Chunk, ChunkId, KnowledgeBaseId, Match

_RUN = re.compile(r"[\u4e00-\u9fff]+|[a-z0-9]+(?:[-/.][a-z0-9]+)*")
_STOP = {"", "the", "does", "when", "what", "请问", "多少", "怎样", "多久"}


def _tokens(text: str) -> set[str]:
    tokens: set[str] = set()
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).lower()):
        if run.isascii():
            tokens |= {run.removesuffix("s")}
        else:
            tokens |= {run[at : at + 2] for at in range(max(1, len(run) - 1))}
    return tokens - _STOP


class MemoryTextIndex:
    def __init__(self) -> None:
        self._bases: dict[KnowledgeBaseId, dict[ChunkId, set[str]]] = {}

    async def upsert(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            tokens = _tokens(f"{chunk.file_name.value} {chunk.indexed_text}")
            self._bases.setdefault(chunk.knowledge_base_id, {})[chunk.id] = tokens

    async def remove(self, base: KnowledgeBaseId, ids: Sequence[ChunkId]) -> None:
        for id_ in ids:
            self._bases.get(base, {}).pop(id_, None)

    async def search(
        self, base: KnowledgeBaseId, text: str, *, limit: int, among: Set[ChunkId] | None = None
    ) -> list[Match]:
        held = self._bases.get(base, {})
        asked = _tokens(text)
        weights = await self.rarity(base, text)
        whole = sum(weights.values())
        found = [
            Match(id_, sum(weights[token] for token in asked & tokens) / whole)
            for id_, tokens in held.items()
            if asked & tokens and (among is None or id_ in among)
        ]
        return sorted(found, key=lambda match: -match.similarity)[:limit]

    async def terms(self, base: KnowledgeBaseId) -> set[str]:
        return {token for tokens in self._bases.get(base, {}).values() for token in tokens if token.isascii()}

    async def rarity(self, base: KnowledgeBaseId, text: str) -> dict[str, float]:
        held = self._bases.get(base, {})
        return {
            token: math.log(1 + (len(held) + 1) / (0.5 + sum(token in tokens for tokens in held.values())))
            for token in _tokens(text)
            if held
        }

    async def ids(self, base: KnowledgeBaseId) -> set[ChunkId]:
        return set(self._bases.get(base, {}))

    async def bases(self) -> set[KnowledgeBaseId]:
        return set(self._bases)

    async def drop(self, base: KnowledgeBaseId) -> None:
        self._bases.pop(base, None)

    async def start(self) -> None:
        """Nothing is to be opened."""

    async def stop(self) -> None:
        """Nothing is to be closed."""
