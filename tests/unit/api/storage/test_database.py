"""Opening, migrating and sharing the metadata database."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import sqlite3
from contextlib import closing
from datetime import timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import StatementError
from sqlalchemy.schema import CreateTable

from services.api.domain.conversation import Conversation, ConversationId
from services.api.domain.ingestion import Hold, IngestJob, Progress, Stage
from services.api.domain.knowledge import AnsweringChoice, SplitterChoice
from services.api.storage.database import SqlStorage
from services.api.storage.tables import Record
from services.foundation.errors import InvalidSetting, StoreFailed
from tests.contract.portable_storage import opened_at_once
from tests.contract.storage import MOMENT, make_base, make_file


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "info.db"


def storage_at(path) -> SqlStorage:
    return SqlStorage(f"sqlite+aiosqlite:///{path}")


async def run_once(path, *bases) -> None:
    storage = storage_at(path)
    await storage.start()
    async with storage.begin() as work:
        for base in bases:
            await work.knowledge_bases.add(base)
    await storage.stop()


def set_revision(path, revision: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))


async def test_what_was_committed_is_there_after_a_restart(path):
    await run_once(path, make_base())
    storage = storage_at(path)
    await storage.start()
    async with storage.begin() as work:
        assert await work.knowledge_bases.all() == [make_base()]
    await storage.stop()
    assert [file.name for file in path.parent.iterdir()] == ["info.db"]


async def test_the_revisions_make_the_tables_of_the_code(path):
    await run_once(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Record.metadata) == []
    engine.dispose()


def test_the_tables_suit_postgresql():
    dialect = make_url("postgresql://").get_dialect()()
    for table in Record.metadata.sorted_tables:
        assert table.name in str(CreateTable(table).compile(dialect=dialect))


async def test_a_newer_database_is_refused_by_name(path):
    await run_once(path)
    set_revision(path, "9999")
    with pytest.raises(StoreFailed, match=r"9999.*newer"):
        await storage_at(path).start()


async def test_an_older_database_is_copied_before_it_is_migrated(path):
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE knowledge_base (id INTEGER)")
        connection.execute("INSERT INTO knowledge_base VALUES (7)")
    await run_once(path, make_base())
    copy = path.with_name("info.db.bak-unversioned")
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("knowledge_base",)]
        assert connection.execute("SELECT id FROM knowledge_base").fetchall() == [(7,)]


async def test_bases_of_before_are_kept_and_do_not_expire(path):
    await run_once(path, make_base())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE file_summaries")
        for column in ("answering", "expires_at"):
            connection.execute(f"ALTER TABLE knowledge_bases DROP COLUMN {column}")
    set_revision(path, "0005")
    storage = storage_at(path)
    await storage.start()
    async with storage.begin() as work:
        assert await work.knowledge_bases.all() == [dataclasses.replace(make_base(), answering=AnsweringChoice())]
        assert await work.knowledge_bases.temporary() == []
        assert await work.summaries.of_base(make_base().id) == {}
    await storage.stop()
    assert path.with_name("info.db.bak-0005").is_file()


async def test_two_programs_may_start_at_once(path):
    assert await opened_at_once(f"sqlite+aiosqlite:///{path}", 2) == [0, 0]


async def test_a_second_program_writes_beside_the_first(path):
    one, two = storage_at(path), storage_at(path)
    await one.start()
    await two.start()
    async with one.begin() as work:
        await work.knowledge_bases.add(make_base())

    async def save(storage: SqlStorage, digit: str) -> None:
        async with storage.begin() as work:
            await work.files.of_base(make_base().id)
            await work.files.save(make_file(make_base(), f"{digit}.txt", digit))

    await asyncio.gather(*(save((one, two)[number % 2], "0123456789"[number]) for number in range(10)))
    async with two.begin() as work:
        assert await work.files.counts() == {make_base().id: 10}
    await one.stop()
    await two.stop()


async def test_times_come_out_in_utc(path):
    storage = storage_at(path)
    await storage.start()
    local = MOMENT.astimezone(timezone(timedelta(hours=8)))
    async with storage.begin() as work:
        await work.conversations.open(Conversation(ConversationId("a"), "me", "", local, local))
    async with storage.begin() as work:
        found = await work.conversations.get(ConversationId("a"))
    assert found.created_at == local
    assert found.created_at.utcoffset() == timedelta(0)
    naive = local.replace(tzinfo=None)
    async with storage.begin() as work:
        with pytest.raises(StatementError, match="without a zone"):
            await work.conversations.open(Conversation(ConversationId("b"), "me", "", naive, naive))
    await storage.stop()


async def test_an_index_in_the_same_file_is_left_alone(path):
    await run_once(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
    await run_once(path)
    assert [file.name for file in path.parent.iterdir()] == ["info.db"]


async def test_a_storage_that_was_not_started_says_so(path):
    with pytest.raises(StoreFailed, match="not been started"):
        async with storage_at(path).begin():
            pass


async def test_a_file_that_is_no_database_is_reported(path):
    path.parent.mkdir()
    path.write_text("this is not a database" * 100)
    with pytest.raises(StoreFailed, match="metadata database"):
        await storage_at(path).start()


def test_a_wrong_url_names_the_setting():
    with pytest.raises(InvalidSetting, match=r"knowledge\.database_url"):
        SqlStorage("not a url")


async def test_a_cancelled_unit_of_work_holds_no_lock(path):
    """SQLite keeps a closed connection, and its lock, until its last statement is garbage."""
    await run_once(path, make_base())
    storage = storage_at(path)
    await storage.start()
    file = make_file(make_base())
    async with storage.begin() as work:
        await work.files.save(file)
        await work.jobs.put(IngestJob(file.id, file.sha256, SplitterChoice("sentences")))

    async def write() -> None:
        async with storage.begin() as work:
            await work.jobs.take(file.id, Hold("a", 10))
            await work.jobs.renew(file.id, Hold("a", 10), Progress(Stage.READING, 1, 2))

    gc.disable()
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
            for number in range(400):
                task = asyncio.create_task(write())
                await asyncio.sleep(number % 40 / 10_000)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                other.execute("BEGIN IMMEDIATE")
                other.execute("ROLLBACK")
    finally:
        gc.enable()
    await storage.stop()
