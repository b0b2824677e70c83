"""Keyword search in SQLite FTS5. One pair of tables per knowledge base, so that rarity is counted per base."""

from __future__ import annotations

import asyncio
import functools
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from services.api.domain.knowledge import Chunk, ChunkId, KnowledgeBaseId, Match
from services.api.knowledge.text_index.site import Site
from services.api.knowledge.text_index.tokens import Tokenizer, Tokens, is_unspaced
from services.api.knowledge.text_index.weighing import (
    QUERY_TOKENS,
    WEIGHED_CHUNKS,
    Found,
    coverage,
    is_beginning,
    rarest,
    rarity,
    searchable,
    shortened,
)
from services.foundation.errors import InvalidSetting, StoreFailed

R = TypeVar("R")

_GENERATED_ID = re.compile(r"[0-9a-f]{32}")
_VARIABLES = 500
_COUNTED_TOKENS = 20_000
# SQLite has one writer: a file of many chunks lets others write in between.
_CHUNKS_PER_TRANSACTION = 500
# A new way of cutting text gets a new scheme: its tables begin empty and are filled from the metadata database.
_SCHEME = "keyword_2"


class _Lane:
    """One connection and the one thread that uses it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._executor: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="keyword-index")
        await self.run(self._connect)

    def _connect(self, _: sqlite3.Connection | None) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(self._path, isolation_level=None, timeout=60)
        self._connection.execute("PRAGMA journal_mode=WAL")
        # What WAL and NORMAL may lose in a power cut is rebuilt from the metadata database.
        self._connection.execute("PRAGMA synchronous=NORMAL")

    async def run(self, work: Callable[[sqlite3.Connection], R]) -> R:
        if self._executor is None:
            raise StoreFailed(store="keyword index", reason="it has not been started")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._guarded, work)

    def _guarded(self, work: Callable[[sqlite3.Connection], R]) -> R:
        try:
            return work(self._connection)  # type: ignore[arg-type]
        except (sqlite3.Error, OSError) as failure:
            raise StoreFailed(store="keyword index", reason=str(failure)) from failure

    async def close(self) -> None:
        if self._executor is None:
            return
        if self._connection is not None:
            await self.run(sqlite3.Connection.close)
        self._executor.shutdown()
        self._executor, self._connection = None, None


class SqliteFtsIndex:
    """A TextIndex beside the metadata database, in the same file.

    It makes its own tables: they hold nothing that cannot be rebuilt. Do not call it inside a unit of work that has
    written: SQLite has one writer, and each would wait for the other.

    FTS5 weighs every chunk that holds any of the words. In a base of more than `weighed_chunks` the rarest words of a
    question look for the chunks, so many that they hold about so many chunks, but two at least; all words tell how well
    a chunk that was found covers the question.
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
            raise InvalidSetting(setting="knowledge.text_index.options", reason="sqlite_fts has no options")
        self._writer = _Lane(site.database_file)
        self._reader = _Lane(site.database_file)
        self._tokenizer = tokenizer or Tokenizer()
        self._weighed_chunks = weighed_chunks
        self._census = _Census()

    async def start(self) -> None:
        await self._writer.open()
        await self._writer.run(_prepare)
        await self._reader.open()
        await asyncio.to_thread(self._tokenizer.load)

    async def stop(self) -> None:
        await self._reader.close()
        await self._writer.close()

    async def upsert(self, chunks: Sequence[Chunk]) -> None:
        for at in range(0, len(chunks), _CHUNKS_PER_TRANSACTION):
            part = chunks[at : at + _CHUNKS_PER_TRANSACTION]
            await self._writer.run(functools.partial(self._upsert, chunks=part))

    async def remove(self, base: KnowledgeBaseId, ids: Sequence[ChunkId]) -> None:
        def write(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                _delete(connection, base, ids)

        await self._writer.run(write)

    async def search(
        self, base: KnowledgeBaseId, text: str, *, limit: int, among: Set[ChunkId] | None = None
    ) -> list[Match]:
        return await self._reader.run(lambda connection: self._search(connection, base, text, limit, among))

    async def terms(self, base: KnowledgeBaseId) -> set[str]:
        return await self._reader.run(lambda connection: self._census.terms(connection, base))

    async def rarity(self, base: KnowledgeBaseId, text: str) -> dict[str, float]:
        return await self._reader.run(lambda connection: self._rarities(connection, base, text))

    async def ids(self, base: KnowledgeBaseId) -> set[ChunkId]:
        def read(connection: sqlite3.Connection) -> set[ChunkId]:
            return {ChunkId(chunk) for (chunk,) in connection.execute(_IDS, (base,))}

        return await self._reader.run(read)

    async def bases(self) -> set[KnowledgeBaseId]:
        def read(connection: sqlite3.Connection) -> set[KnowledgeBaseId]:
            names = [name.removeprefix(f"{_SCHEME}_") for (name,) in connection.execute(_TABLES)]
            known = {base for (base,) in connection.execute(_BASES)}
            return {KnowledgeBaseId(name) for name in {*names, *known} if _GENERATED_ID.fullmatch(name)}

        return await self._reader.run(read)

    async def drop(self, base: KnowledgeBaseId) -> None:
        def write(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                connection.execute(f"DROP TABLE IF EXISTS {_vocabulary(base)}")
                connection.execute(f"DROP TABLE IF EXISTS {_table(base)}")
                connection.execute(_FORGET, (base,))

        await self._writer.run(write)

    def _upsert(self, connection: sqlite3.Connection, chunks: Sequence[Chunk]) -> None:
        # Cut before the transaction begins: whoever waits to write waits for SQLite only.
        cut = [(chunk, self._tokenizer.of_text(searchable(chunk))) for chunk in chunks]
        cut.sort(key=lambda pair: pair[0].knowledge_base_id)
        with _transaction(connection):
            for base, rows in groupby(cut, key=lambda pair: pair[0].knowledge_base_id):
                _insert(connection, base, rows)

    def _search(
        self, connection: sqlite3.Connection, base: KnowledgeBaseId, text: str, limit: int, among: Set[ChunkId] | None
    ) -> list[Match]:
        asked = self._tokenizer.of_query(text)
        size = self._census.size(connection, base)
        if not size or limit < 1 or not (asked.words or asked.bigrams):
            return []
        asked = shortened(asked)
        telling = asked.words or asked.bigrams
        is_large = size > self._weighed_chunks and among is None
        holding = self._census.holding(connection, base, (*asked.words, *asked.bigrams) if is_large else telling)
        seekers = rarest(asked, holding, self._weighed_chunks) if is_large else asked
        with _narrowed(connection, among) as narrowing:
            found = [Found(*row) for row in connection.execute(_find(base, narrowing), (_match(seekers), limit))]
        weights = {word: rarity(holding[word], size) for word in telling}
        return [Match(ChunkId(row.chunk), coverage(row, weights)) for row in found]

    def _rarities(self, connection: sqlite3.Connection, base: KnowledgeBaseId, text: str) -> dict[str, float]:
        asked = self._tokenizer.of_query(text).bigrams[:QUERY_TOKENS]
        size = self._census.size(connection, base)
        if not size:
            return {}
        return {token: rarity(held, size) for token, held in self._census.holding(connection, base, asked).items()}


_ROWS = f"{_SCHEME}_rows"
_IDS = f"SELECT chunk FROM {_ROWS} WHERE base = ?"  # noqa: S608 - constants
_COUNT = f"SELECT count(*) FROM {_ROWS} WHERE base = ?"  # noqa: S608
_BASES = f"SELECT DISTINCT base FROM {_ROWS}"  # noqa: S608
_TABLES = f"SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB '{_SCHEME}_*'"  # noqa: S608
_NAMED_AS_OURS = "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'keyword_*'"
_TABLE_NAME = re.compile(r"(?P<scheme>keyword_\d+)_(?:rows|[0-9a-f]{32}(?:_vocabulary)?)")
_FORGET = f"DELETE FROM {_ROWS} WHERE base = ?"  # noqa: S608


def _table(base: KnowledgeBaseId) -> str:
    """The base's FTS table. Only a generated id becomes part of a statement."""
    if not _GENERATED_ID.fullmatch(base):
        raise StoreFailed(store="keyword index", reason="the knowledge base's id is not a generated one")
    return f"{_SCHEME}_{base}"


def _vocabulary(base: KnowledgeBaseId) -> str:
    return f"{_table(base)}_vocabulary"


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {_ROWS} (row INTEGER PRIMARY KEY, base TEXT NOT NULL, chunk TEXT NOT NULL, "
        "UNIQUE (base, chunk))"
    )
    former = [name for (name,) in connection.execute(_NAMED_AS_OURS) if _is_of_former_scheme(name)]
    for name in sorted(former, key=len, reverse=True):  # a vocabulary before the table it reads
        connection.execute(f"DROP TABLE IF EXISTS {name}")


def _is_of_former_scheme(name: str) -> bool:
    """Whether a table was made by a version that cut text otherwise. FTS5's own, beside each, go with it."""
    found = _TABLE_NAME.fullmatch(name)
    return found is not None and found["scheme"] != _SCHEME


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, base: KnowledgeBaseId, rows: Iterable[tuple[Chunk, Tokens]]) -> None:
    newest = {chunk.id: tokens for chunk, tokens in rows}
    table = _table(base)
    connection.execute(
        f"CREATE VIRTUAL TABLE IF NOT EXISTS {table} USING fts5(words, bigrams, "
        "tokenize=\"ascii tokenchars '-./_+#&@:'\")"
    )
    connection.execute(f"CREATE VIRTUAL TABLE IF NOT EXISTS {_vocabulary(base)} USING fts5vocab({table}, col)")
    _delete(connection, base, list(newest))
    for id_, tokens in newest.items():
        row = connection.execute(f"INSERT INTO {_ROWS} (base, chunk) VALUES (?, ?)", (base, id_)).lastrowid  # noqa: S608
        connection.execute(
            f"INSERT INTO {table} (rowid, words, bigrams) VALUES (?, ?, ?)",  # noqa: S608
            (row, " ".join(tokens.words), " ".join(tokens.bigrams)),
        )


def _delete(connection: sqlite3.Connection, base: KnowledgeBaseId, ids: Sequence[ChunkId]) -> None:
    for at in range(0, len(ids), _VARIABLES):
        part = ids[at : at + _VARIABLES]
        marks = ", ".join("?" * len(part))
        select = f"SELECT row FROM {_ROWS} WHERE base = ? AND chunk IN ({marks})"  # noqa: S608
        rows = connection.execute(select, (base, *part)).fetchall()
        if rows:
            connection.executemany(f"DELETE FROM {_table(base)} WHERE rowid = ?", rows)  # noqa: S608
            connection.executemany(f"DELETE FROM {_ROWS} WHERE row = ?", rows)  # noqa: S608


@contextmanager
def _narrowed(connection: sqlite3.Connection, among: Set[ChunkId] | None) -> Iterator[str]:
    """The condition that only these chunks are found; they lie in a table of this connection meanwhile."""
    if among is None:
        yield ""
        return
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS among (chunk TEXT PRIMARY KEY) WITHOUT ROWID")
    connection.execute("BEGIN")
    try:
        connection.executemany("INSERT INTO temp.among VALUES (?)", ((chunk,) for chunk in among))
        yield f"AND {_ROWS}.chunk IN temp.among "
    finally:
        connection.execute("ROLLBACK")


def _find(base: KnowledgeBaseId, narrowing: str) -> str:
    table = _table(base)
    return (
        f"SELECT {_ROWS}.chunk, {table}.words, {table}.bigrams FROM {table} "  # noqa: S608
        f"JOIN {_ROWS} ON {_ROWS}.row = {table}.rowid WHERE {table} MATCH ? {narrowing}ORDER BY rank LIMIT ?"
    )


def _match(asked: Tokens) -> str:
    """FTS5's query: any of the words or any of the bigrams. Their BM25 adds up, which beat fusing two ranked lists."""
    words = [f"words : {_quoted(word)}" for word in asked.words]
    bigrams = [f"bigrams : {_quoted(bigram)}{'*' * is_beginning(bigram)}" for bigram in asked.bigrams]
    return " OR ".join(words + bigrams)


def _quoted(token: str) -> str:
    return '"' + token.replace('"', '""') + '"'


class _Census:
    """How many chunks there are, and hold a token, counted anew after another connection has written.

    A search and the rarity that orders its hits ask for the same; counting a large base's chunks takes milliseconds.
    The connection that asks must not write itself: SQLite's data_version does not tell it of its own writes.
    """

    def __init__(self) -> None:
        self._version: int | None = None
        self._sizes: dict[KnowledgeBaseId, int] = {}
        self._holding: dict[tuple[KnowledgeBaseId, str], int] = {}
        self._terms: dict[KnowledgeBaseId, set[str]] = {}

    def size(self, connection: sqlite3.Connection, base: KnowledgeBaseId) -> int:
        """The chunks of a base."""
        self._forget_what_changed(connection)
        if base not in self._sizes:
            ((self._sizes[base],),) = connection.execute(_COUNT, (base,))
        return self._sizes[base]

    def holding(self, connection: sqlite3.Connection, base: KnowledgeBaseId, tokens: Iterable[str]) -> dict[str, int]:
        """How many chunks hold each token."""
        self._forget_what_changed(connection)
        select = f"SELECT max(doc) FROM {_vocabulary(base)} WHERE term = ?"  # noqa: S608
        found: dict[str, int] = {}
        for token in dict.fromkeys(tokens):
            if (base, token) not in self._holding:
                ((count,),) = connection.execute(select, (token,))
                self._holding[base, token] = count or 0
            found[token] = self._holding[base, token]
        return found

    def terms(self, connection: sqlite3.Connection, base: KnowledgeBaseId) -> set[str]:
        """Every Latin word and code that a chunk holds."""
        if not self.size(connection, base):
            return set()
        if base not in self._terms:
            select = f"SELECT term FROM {_vocabulary(base)} WHERE col = 'words'"  # noqa: S608
            self._terms[base] = {term for (term,) in connection.execute(select) if not is_unspaced(term)}
        return self._terms[base]

    def _forget_what_changed(self, connection: sqlite3.Connection) -> None:
        ((version,),) = connection.execute("PRAGMA data_version")
        if version != self._version or len(self._holding) > _COUNTED_TOKENS:
            self._version = version
            self._sizes.clear()
            self._holding.clear()
            self._terms.clear()
