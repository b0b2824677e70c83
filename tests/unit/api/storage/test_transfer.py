"""Clearing the tables, and copying the rows of another database."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.api.domain.knowledge import KnowledgeBase, KnowledgeBaseId
from services.api.domain.names import KnowledgeBaseName
from services.api.storage.database import SqlStorage
from services.foundation.errors import StoreFailed


def base(name: str) -> KnowledgeBase:
    made = datetime(2026, 11, 21, 8, tzinfo=UTC)
    return KnowledgeBase(KnowledgeBaseId(name * 32), KnowledgeBaseName(name), "about", "model", "milvus", made)


async def opened(path: Path, *names: str) -> SqlStorage:
    storage = SqlStorage(f"sqlite+aiosqlite:///{path}")
    await storage.start()
    async with storage.begin() as work:
        for name in names:
            await work.knowledge_bases.add(base(name))
    return storage


async def names(storage: SqlStorage) -> list[str]:
    async with storage.begin() as work:
        return sorted(found.name.value for found in await work.knowledge_bases.all())


async def test_clear_leaves_empty_tables_that_work(tmp_path: Path) -> None:
    storage = await opened(tmp_path / "info.db", "a", "b")
    await storage.clear()
    assert await names(storage) == []
    async with storage.begin() as work:
        await work.knowledge_bases.add(base("c"))
    assert await names(storage) == ["c"]
    await storage.stop()


async def test_rows_of_another_database_are_copied_as_they_were(tmp_path: Path) -> None:
    other = await opened(tmp_path / "other.db", "a", "b")
    await other.stop()
    storage = await opened(tmp_path / "info.db", "c")
    assert await storage.import_rows(tmp_path / "other.db") == 2
    assert await names(storage) == ["a", "b", "c"]
    async with storage.begin() as work:
        assert await work.knowledge_bases.get(KnowledgeBaseName("a")) == base("a")
    await storage.stop()


async def test_a_column_only_one_side_has_does_not_hinder(tmp_path: Path) -> None:
    other = await opened(tmp_path / "other.db", "a")
    await other.stop()
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("ALTER TABLE knowledge_bases ADD COLUMN colour TEXT")
        connection.execute("ALTER TABLE knowledge_bases DROP COLUMN dimensions")
    storage = await opened(tmp_path / "info.db")
    assert await storage.import_rows(tmp_path / "other.db") == 1
    await storage.stop()


async def test_a_row_that_is_here_already_stops_the_import_and_nothing_is_copied(tmp_path: Path) -> None:
    other = await opened(tmp_path / "other.db", "a", "b")
    await other.stop()
    storage = await opened(tmp_path / "info.db", "b")
    with pytest.raises(StoreFailed, match="cannot be copied"):
        await storage.import_rows(tmp_path / "other.db")
    assert await names(storage) == ["b"]
    await storage.stop()


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no file"), (b"not a database" * 100, "cannot"), (b"", "none of")]
)
async def test_a_file_that_is_no_database_of_ours_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "other.db").write_bytes(content)
    storage = await opened(tmp_path / "info.db")
    with pytest.raises(StoreFailed, match=said):
        await storage.import_rows(tmp_path / "other.db")
    await storage.stop()
