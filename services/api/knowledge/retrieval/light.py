"""LightReranker: orders hits anew by the words they share with the question and their cosine. Implements `Reranker`.

No model is asked. Decision 0011 tells how the weights were found.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from services.api.domain.knowledge import Chunk, Hit, KnowledgeBaseId
from services.api.domain.ports import TextIndex
from services.api.knowledge.text_index.tokens import bigrams_of

_SENTENCE_END = re.compile(r"[。！？!?；;\n]|(?<=[a-z0-9)])\.\s")
_RANK_CONSTANT = 10


@dataclass(frozen=True, slots=True)
class Signs:
    """What tells that a passage answers a question; each in [0, 1].

    Attributes:
        rank: of its place in the list before, 1 for the first.
        held: share of the question's tokens, weighted by rarity, that the passage holds.
        together: the largest such share that one of its sentences holds.
        named: share of the tokens of its headings, or of its file's name, that the question names.
        cosine: of the two embeddings; None where they cannot be compared.
        nearest: the largest cosine in the list.
    """

    rank: float
    held: float
    together: float
    named: float
    cosine: float | None
    nearest: float

    @property
    def order(self) -> float:
        """What the hits are ordered by; only differences within a list mean something."""
        near = self.cosine / self.nearest if self.cosine is not None and self.nearest else 0.0
        return self.rank + 4.3 * self.held + 2.0 * self.together + 2.0 * self.named + 8.8 * near

    @property
    def relevance(self) -> float:
        """How likely a passage like this answers, in [0, 1]: logistic regression over the retrieval sets."""
        meaning = 0.0 if self.cosine is None else 5.1 * self.cosine - 2.0
        return 1 / (1 + math.exp(2.6 - 2.9 * self.held - 1.0 * self.together - meaning))


class LightReranker:
    """Knows the rarity of a question's tokens from the keyword index of each hit's base."""

    def __init__(self, keywords: TextIndex) -> None:
        self._keywords = keywords

    async def rerank(self, query: str, hits: Sequence[Hit], *, limit: int) -> list[Hit]:
        bases = {hit.chunk.knowledge_base_id for hit in hits}
        rarities = {base: await self._keywords.rarity(base, query) for base in bases}
        signs = await asyncio.to_thread(signs_of, hits, rarities)
        ordered = sorted(zip(hits, signs, strict=True), key=lambda pair: -pair[1].order)
        return [dataclasses.replace(hit, relevance=one.relevance) for hit, one in ordered[:limit]]


def signs_of(hits: Sequence[Hit], rarities: Mapping[KnowledgeBaseId, Mapping[str, float]]) -> list[Signs]:
    """The signs of each hit, in their order.

    A hit that the dense arm did not find is at most as near as the farthest that it did find, and counts as that.

    Args:
        hits: best first.
        rarities: for each base the question's tokens with their weights.
    """
    cosines = [hit.cosine for hit in hits if hit.cosine is not None]
    nearest, farthest = (max(cosines), min(cosines)) if cosines else (0.0, None)
    signs = []
    for place, hit in enumerate(hits, start=1):
        rarity = rarities[hit.chunk.knowledge_base_id]
        sentences = [set(bigrams_of(sentence)) for sentence in _SENTENCE_END.split(hit.chunk.text)]
        signs.append(
            Signs(
                rank=(_RANK_CONSTANT + 1) / (_RANK_CONSTANT + place),
                held=_share(rarity, set(bigrams_of(hit.chunk.place.heading_path)).union(*sentences)),
                together=max(_share(rarity, sentence) for sentence in sentences),
                named=_named(rarity, hit.chunk),
                cosine=farthest if hit.cosine is None else hit.cosine,
                nearest=nearest,
            )
        )
    return signs


def _named(rarity: Mapping[str, float], chunk: Chunk) -> float:
    names = (set(bigrams_of(name)) for name in (chunk.place.heading_path, chunk.file_name.stem))
    return max((len(name & rarity.keys()) / len(name) for name in names if name), default=0.0)


def _share(rarity: Mapping[str, float], held: Set[str]) -> float:
    """Of the question's tokens, weighted by rarity, those that are held."""
    whole = sum(rarity.values())
    return sum(weight for token, weight in rarity.items() if token in held) / whole if whole else 0.0
