"""FakeEmbedder: vectors from hashed pairs of characters, so that texts which share words are similar."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence

from services.api.domain.knowledge import EmbeddedQuery, Vector


class FakeEmbedder:
    """An `Embedder` without a model: deterministic, L2-normalised, the same text always the same vector.

    Attributes:
        embedded: every text given to `embed_documents`, in order.
        unreadable_share: of every query.
    """

    def __init__(self, *, dimensions: int = 64, unreadable_share: float = 0.0) -> None:
        self._dimensions = dimensions
        self.unreadable_share = unreadable_share
        self.embedded: list[str] = []

    async def embed_documents(self, model: str, texts: Sequence[str]) -> list[Vector | None]:
        del model
        self.embedded.extend(texts)
        return [self._vector(text) for text in texts]

    async def embed_query(self, model: str, text: str) -> EmbeddedQuery:
        del model
        return EmbeddedQuery(self._vector(text), self.unreadable_share)

    def _vector(self, text: str) -> Vector:
        counts = [0.0] * self._dimensions
        folded = f" {text.casefold()} "
        for pair in itertools.pairwise(folded):
            digest = hashlib.blake2b("".join(pair).encode("utf-8", "replace"), digest_size=4).digest()
            counts[int.from_bytes(digest) % self._dimensions] += 1.0
        length = math.sqrt(sum(count * count for count in counts))
        return tuple(count / length for count in counts)
