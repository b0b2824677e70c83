"""Keyword search in PostgreSQL: a GIN index finds chunks by the same tokens as `sqlite_fts`, our code ranks them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence, Set

import asyncpg

from services.api.domain.knowledge import Chunk, ChunkId, KnowledgeBaseId, Match
from services.api.knowledge.text_index.postgres import statements
from services.api.knowledge.text_index.postgres.address import arguments_of
from services.api.knowledge.text_index.postgres.census import Census, Holding
from services.api.knowledge.text_index.postgres.connections import Connections
from services.api.knowledge.text_index.postgres.lexemes import lexemes_of, seeking_terms
from services.api.knowledge.text_index.site import Site
from services.api.knowledge.text_index.tokens import Tokenizer, Tokens
from services.api.knowledge.text_index.weighing import (
    WEIGHED_CHUNKS,
    Found,
    RankingWeights,
    Standing,
    coverage,
    ranked,
    ranking_weight,
    rarest,
    rarity,
    searchable,
    shortened,
)
from services.foundation.errors import InvalidSetting

# Others write to the base in between.
_CHUNKS_PER_TRANSACTION = 500
# GIN finds by what is nearly BM25. Among so many, or so many times as many as are wanted, BM25 itself finds the best.
_LEAST_RANKED, _RANKED_TIMES = 100, 3


class PostgresIndex:
    """A TextIndex beside the metadata, in the same PostgreSQL database.

    It makes its own tables: they hold nothing that cannot be rebuilt. Those who write to one base take turns.
    """

    def __init__(
        self,
        site: Site,
        tokenizer: Tokenizer | None = None,
        *,
        options: Mapping[str, object] | None = None,
        weighed_chunks: int = WEIGHED_CHUNKS,
    ) -> None:
        if options:
            raise InvalidSetting(setting="knowledge.text_index.options", reason="postgres has no options")
        self._connections = Connections(arguments_of(site.database_url))
        self._tokenizer = tokenizer or Tokenizer()
        self._weighed_chunks = weighed_chunks
        self._census = Census()

    async def start(self) -> None:
        await self._connections.open()
        async with self._connections.writing() as connection:
            await connection.execute(statements.ALONE)
            await connection.execute(statements.CREATE_BASES)
        await asyncio.to_thread(self._tokenizer.load)

    async def stop(self) -> None:
        await self._connections.close()

    async def upsert(self, chunks: Sequence[Chunk]) -> None:
        for at in range(0, len(chunks), _CHUNKS_PER_TRANSACTION):
            cut = await asyncio.to_thread(self._cut, chunks[at : at + _CHUNKS_PER_TRANSACTION])
            for base, rows in cut.items():
                await self._put(base, rows)

    async def remove(self, base: KnowledgeBaseId, ids: Sequence[ChunkId]) -> None:
        async with self._connections.writing() as connection:
            if await connection.fetchval(statements.BEGIN, base) is not None:
                gone = await connection.fetch(statements.delete(statements.table_of(base)), list(ids))
                await connection.execute(statements.COUNT_IN, base, -len(gone), -sum(row["length"] for row in gone))

    async def search(
        self, base: KnowledgeBaseId, text: str, *, limit: int, among: Set[ChunkId] | None = None
    ) -> list[Match]:
        asked = shortened(await asyncio.to_thread(self._tokenizer.of_query, text))
        telling = asked.words or asked.bigrams
        async with self._connections.reading() as connection:
            standing = await self._census.standing(connection, base)
            if not standing.chunks or limit < 1 or not telling:
                return []
            try:
                holding = await self._census.holding(connection, base, asked)
                is_large = standing.chunks > self._weighed_chunks and among is None
                seekers = rarest(asked, holding.of_either_kind(), self._weighed_chunks) if is_large else asked
                weights = _ranking_weights(seekers, holding, standing.chunks)
                found = await _find(connection, base, weights, (standing, limit, among))
            except asyncpg.UndefinedTableError:
                return []  # the base was dropped meanwhile
        held = holding.of_either_kind()
        told = {token: rarity(held[token], standing.chunks) for token in telling}
        return await asyncio.to_thread(_matches, found, (weights, told, standing), limit)

    async def terms(self, base: KnowledgeBaseId) -> set[str]:
        async with self._connections.reading() as connection:
            await self._census.standing(connection, base)
            try:
                return await self._census.terms(connection, base)
            except asyncpg.UndefinedTableError:
                return set()  # the base was dropped meanwhile

    async def rarity(self, base: KnowledgeBaseId, text: str) -> dict[str, float]:
        asked = Tokens((), shortened(await asyncio.to_thread(self._tokenizer.of_query, text)).bigrams)
        async with self._connections.reading() as connection:
            standing = await self._census.standing(connection, base)
            if not standing.chunks:
                return {}
            try:
                holding = await self._census.holding(connection, base, asked)
            except asyncpg.UndefinedTableError:
                return {}
        return {token: rarity(held, standing.chunks) for token, held in holding.bigrams.items()}

    async def ids(self, base: KnowledgeBaseId) -> set[ChunkId]:
        async with self._connections.reading() as connection:
            try:
                rows = await connection.fetch(statements.ids(statements.table_of(base)))
            except asyncpg.UndefinedTableError:
                return set()
        return {ChunkId(row["chunk"]) for row in rows}

    async def bases(self) -> set[KnowledgeBaseId]:
        async with self._connections.reading() as connection:
            return {KnowledgeBaseId(row["base"]) for row in await connection.fetch(statements.KNOWN)}

    async def drop(self, base: KnowledgeBaseId) -> None:
        table = statements.table_of(base)
        async with self._connections.writing() as connection:
            if await connection.fetchval(statements.BEGIN, base) is None:
                return  # unknown, or being made by another: its table without its turn would be a deadlock
            await connection.execute(statements.drop(table))
            await connection.execute(statements.FORGET, base)

    def _cut(self, chunks: Sequence[Chunk]) -> dict[KnowledgeBaseId, dict[ChunkId, Tokens]]:
        cut: dict[KnowledgeBaseId, dict[ChunkId, Tokens]] = {}
        for chunk in chunks:
            cut.setdefault(chunk.knowledge_base_id, {})[chunk.id] = self._tokenizer.of_text(searchable(chunk))
        return cut

    async def _put(self, base: KnowledgeBaseId, rows: Mapping[ChunkId, Tokens]) -> None:
        table = statements.table_of(base)
        lengths = [len(tokens.words) + len(tokens.bigrams) for tokens in rows.values()]
        texts = [
            [" ".join(tokens.words) for tokens in rows.values()],
            [" ".join(each.bigrams) for each in rows.values()],
        ]
        lexemes = [lexemes_of(tokens) for tokens in rows.values()]
        async with self._connections.writing() as connection:
            if await connection.fetchval(statements.BEGIN, base) is None:
                await _create(connection, base, table)
            gone = await connection.fetch(statements.delete(table), list(rows))
            await connection.execute(statements.insert(table), list(rows), lengths, *texts, lexemes)
            more = len(rows) - len(gone), sum(lengths) - sum(row["length"] for row in gone)
            await connection.execute(statements.COUNT_IN, base, *more)


async def _create(connection: asyncpg.Connection, base: KnowledgeBaseId, table: str) -> None:
    """Enter the base, which waits for whoever is dropping it, and take one's turn; the table comes last."""
    await connection.execute(statements.ALONE)
    await connection.execute(statements.ENTER, base)
    await connection.fetchval(statements.BEGIN, base)
    await connection.execute(statements.create(table))


def _ranking_weights(asked: Tokens, holding: Holding, size: int) -> RankingWeights:
    """Of the tokens that some chunk holds."""
    return RankingWeights(
        {word: ranking_weight(held, size) for word in asked.words if (held := holding.words[word])},
        {bigram: ranking_weight(held, size) for bigram in asked.bigrams if (held := holding.bigrams[bigram])},
    )


async def _find(
    connection: asyncpg.Connection,
    base: KnowledgeBaseId,
    weights: RankingWeights,
    cut: tuple[Standing, int, Set[ChunkId] | None],
) -> list[Found]:
    standing, limit, among = cut
    seeking = list(seeking_terms(weights))
    if not seeking:
        return []
    statement = statements.find(statements.table_of(base), narrowed=among is not None)
    average = max(1.0, standing.tokens / standing.chunks)
    candidates = max(_LEAST_RANKED, _RANKED_TIMES * limit)
    narrowing = () if among is None else (list(among),)
    asked = [list(column) for column in zip(*seeking, strict=True)]
    return [Found(*row) for row in await connection.fetch(statement, *asked, average, candidates, *narrowing)]


def _matches(
    found: Sequence[Found], weights: tuple[RankingWeights, Mapping[str, float], Standing], limit: int
) -> list[Match]:
    ranking, told, standing = weights
    best = ranked(found, ranking, standing)[:limit]
    return [Match(ChunkId(each.chunk), coverage(each, told)) for each in best]
