"""How many chunks a base has and hold a token, counted anew after somebody has written to the base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import asyncpg

from services.api.domain.knowledge import KnowledgeBaseId
from services.api.knowledge.text_index.postgres import statements
from services.api.knowledge.text_index.postgres.lexemes import BIGRAM, WORD, counting_term
from services.api.knowledge.text_index.tokens import Tokens, is_unspaced
from services.api.knowledge.text_index.weighing import Standing

_COUNTED_TERMS = 20_000


class Holding(NamedTuple):
    """How many chunks hold each word, and each bigram, of a question."""

    words: Mapping[str, int]
    bigrams: Mapping[str, int]

    def of_either_kind(self) -> dict[str, int]:
        """The chunks that hold a token as the one or the other."""
        tokens = dict.fromkeys((*self.words, *self.bigrams))
        return {token: max(self.words.get(token, 0), self.bigrams.get(token, 0)) for token in tokens}


@dataclass(slots=True)
class _Counted:
    version: int
    standing: Standing
    chunks: dict[str, int] = field(default_factory=dict)
    terms: set[str] | None = None


class Census:
    """A search and the rarity that orders its hits ask for the same, and counting takes milliseconds."""

    def __init__(self) -> None:
        self._bases: dict[KnowledgeBaseId, _Counted] = {}

    async def standing(self, connection: asyncpg.Connection, base: KnowledgeBaseId) -> Standing:
        """The size of a base as it is now; ask it before `holding`."""
        row = await connection.fetchrow(statements.STANDING, base)
        if row is None:
            self._bases.pop(base, None)
            return Standing(0, 0)
        known = self._bases.get(base)
        if known is None or known.version != row["version"] or len(known.chunks) > _COUNTED_TERMS:
            known = self._bases[base] = _Counted(row["version"], Standing(row["chunks"], row["tokens"]))
        return known.standing

    async def holding(self, connection: asyncpg.Connection, base: KnowledgeBaseId, asked: Tokens) -> Holding:
        """How many chunks hold each token, as of the last `standing` or later, but never more than there were then."""
        known = self._bases.get(base) or _Counted(0, Standing(0, 0))
        counted, most = known.chunks, known.standing.chunks
        terms = {(WORD, word): counting_term(WORD, word) for word in asked.words}
        terms |= {(BIGRAM, bigram): counting_term(BIGRAM, bigram) for bigram in asked.bigrams}
        await _count(connection, base, [term for term in terms.values() if term not in counted], counted)
        held = {key: min(most, counted[term]) for key, term in terms.items()}
        return Holding(
            {word: held[WORD, word] for word in asked.words}, {bigram: held[BIGRAM, bigram] for bigram in asked.bigrams}
        )

    async def terms(self, connection: asyncpg.Connection, base: KnowledgeBaseId) -> set[str]:
        """Every Latin word and code that a chunk holds, as of the last `standing` or later."""
        known = self._bases.get(base)
        if known is None or not known.standing.chunks:
            return set()
        if known.terms is None:
            rows = await connection.fetch(statements.terms(statements.table_of(base)))
            known.terms = {row[0] for row in rows if not is_unspaced(row[0])}
        return known.terms


async def _count(
    connection: asyncpg.Connection, base: KnowledgeBaseId, terms: Sequence[str], counted: dict[str, int]
) -> None:
    if terms:
        rows = await connection.fetch(statements.count(statements.table_of(base)), terms)
        counted.update(zip(terms, (row[0] for row in rows), strict=True))
