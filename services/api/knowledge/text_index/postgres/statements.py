"""The statements of the PostgreSQL keyword index. One table per knowledge base: rarity is counted per base."""

from __future__ import annotations

import re

from services.api.domain.knowledge import KnowledgeBaseId
from services.api.knowledge.text_index.postgres.lexemes import SEPARATOR
from services.api.knowledge.text_index.weighing import LENGTH_SHARE, SATURATION
from services.foundation.errors import StoreFailed

_GENERATED_ID = re.compile(r"[0-9a-f]{32}")
# A new way of cutting text gets a new scheme: its tables begin empty and are filled from the metadata database.
_SCHEME = "keyword_1"
_BASES = f"{_SCHEME}_bases"

ALONE = "SELECT pg_advisory_xact_lock(1262839876)"
CREATE_BASES = (
    f"CREATE TABLE IF NOT EXISTS {_BASES} (base text PRIMARY KEY, version bigint NOT NULL DEFAULT 0, "
    "chunks bigint NOT NULL DEFAULT 0, tokens bigint NOT NULL DEFAULT 0)"
)
KNOWN = f"SELECT base FROM {_BASES}"  # noqa: S608 - constants
STANDING = f"SELECT version, chunks, tokens FROM {_BASES} WHERE base = $1"  # noqa: S608
ENTER = f"INSERT INTO {_BASES} (base) VALUES ($1) ON CONFLICT DO NOTHING"  # noqa: S608
# Taken first by whoever writes to a base, so that they take turns.
BEGIN = f"UPDATE {_BASES} SET version = version + 1 WHERE base = $1 RETURNING version"  # noqa: S608
COUNT_IN = f"UPDATE {_BASES} SET chunks = chunks + $2, tokens = tokens + $3 WHERE base = $1"  # noqa: S608
FORGET = f"DELETE FROM {_BASES} WHERE base = $1"  # noqa: S608


def table_of(base: KnowledgeBaseId) -> str:
    """The base's table. Only a generated id becomes part of a statement."""
    if not _GENERATED_ID.fullmatch(base):
        raise StoreFailed(store="keyword index", reason="the knowledge base's id is not a generated one")
    return f"{_SCHEME}_{base}"


def create(table: str) -> str:
    """The table and its index.

    The texts lie apart (TOAST), so that what is scanned at a search is small. The index has no list of what is to be
    put in later: every term of every search would read it from end to end.
    """
    return (
        f"CREATE TABLE IF NOT EXISTS {table} (row bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        "chunk text NOT NULL UNIQUE, length int NOT NULL, words text NOT NULL, bigrams text NOT NULL, "
        "held tsvector NOT NULL) WITH (toast_tuple_target = 128); "
        f"CREATE INDEX IF NOT EXISTS {table}_held ON {table} USING gin (held) WITH (fastupdate = off)"
    )


def drop(table: str) -> str:
    """Take the table and its index away."""
    return f"DROP TABLE IF EXISTS {table}"


def delete(table: str) -> str:
    """Take chunks out; gives the lengths of those that were there."""
    return f"DELETE FROM {table} WHERE chunk = ANY($1::text[]) RETURNING length"  # noqa: S608


def insert(table: str) -> str:
    """Put in chunks that are not there."""
    return (
        f"INSERT INTO {table} (chunk, length, words, bigrams, held) "  # noqa: S608
        f"SELECT chunk, length, words, bigrams, array_to_tsvector(string_to_array(lexemes, '{SEPARATOR}')) "
        "FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[]) "
        "AS new (chunk, length, words, bigrams, lexemes)"
    )


def ids(table: str) -> str:
    """All chunks."""
    return f"SELECT chunk FROM {table}"  # noqa: S608


def terms(table: str) -> str:
    """Every word that a chunk holds."""
    return f"SELECT DISTINCT word FROM {table}, unnest(string_to_array(words, ' ')) AS word WHERE word <> ''"  # noqa: S608


def count(table: str) -> str:
    """How many chunks hold each of the terms, in their order."""
    return (
        f"SELECT (SELECT count(*) FROM {table} WHERE held @@ term::tsquery) "  # noqa: S608
        "FROM unnest($1::text[]) WITH ORDINALITY AS asked (term, place) ORDER BY place"
    )


def find(table: str, *, narrowed: bool) -> str:
    """The chunks that are best by BM25 (see `weighing`) if they hold each token just so often as is known of them.

    They come in the order in which they were put in. $5: the average length of a chunk, $6: how many. OFFSET 0 has
    PostgreSQL look into the index for each term; else it compares all rows with all terms, which takes seconds.
    """
    narrowing = f"WHERE found.row IN (SELECT row FROM {table} WHERE chunk = ANY($7::text[])) " if narrowed else ""  # noqa: S608
    gained = "sum(weight * (times / (times + diluted) - before / (before + diluted)))"
    diluted = f"{SATURATION} * ({1 - LENGTH_SHARE} + {LENGTH_SHARE} * length / $5::float8) AS diluted"
    return (
        f"WITH best AS (SELECT row FROM unnest($1::text[], $2::float8[], $3::int[], $4::int[]) "  # noqa: S608
        "AS asked (term, weight, before, times) "
        f"CROSS JOIN LATERAL (SELECT row, {diluted} FROM {table} WHERE held @@ asked.term::tsquery OFFSET 0) AS found "
        f"{narrowing}GROUP BY row ORDER BY {gained} DESC, row LIMIT $6) "
        f"SELECT chunk, words, bigrams FROM {table} JOIN best USING (row) ORDER BY row"
    )
