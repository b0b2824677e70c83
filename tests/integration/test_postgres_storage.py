"""SqlStorage over a real PostgreSQL: its revisions, lost connections, several programs, rows from SQLite."""

from __future__ import annotations

import dataclasses
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from services.api.domain.conversation import Conversation, ConversationId
from services.api.storage import migrate
from services.api.storage.database import SqlStorage
from services.api.storage.tables import Record
from services.foundation.errors import InvalidSetting, StoreFailed
from tests.contract.portable_storage import opened_at_once
from tests.contract.storage import MOMENT, make_base, make_file, make_thread, make_turn
from tests.postgres import PostgresServer

REVISIONS = [script.revision for script in ScriptDirectory(str(migrate.MIGRATIONS)).walk_revisions()][::-1]
_FIRST_ROWS = """
INSERT INTO knowledge_bases (id, key, name, description, embedding_model, vector_store, created_at)
VALUES ('a', '政策', '政策', '', 'm', 'milvus', '2026-11-03 08:30:00+00');
INSERT INTO knowledge_files (id, knowledge_base_id, name, size_bytes, sha256, version, state, created_at, modified_at,
    chunk_count, warnings, loader, splitter)
VALUES ('f', 'a', '年假.pdf', 3000000000, '', 1, 'indexed', '2026-11-03 08:30:00+00', '2026-11-03 08:30:00+00',
    1, '[]', '', '');
INSERT INTO chunks (id, knowledge_base_id, file_id, version, position, text, place)
VALUES ('c', 'a', 'f', 1, 0, '五天', '{"page": 3}');
"""
_JOB = """
INSERT INTO ingest_jobs (file_id, sha256, splitter, attempt, is_staged, warnings, loader, splitter_class)
VALUES ('f', '', '{"name": "sentences", "options": {}}', 1, true, '[]', '', '')
"""


async def run_sync(url: str, work) -> object:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), Record.metadata))


async def opened(url: str) -> SqlStorage:
    storage = SqlStorage(url)
    await storage.start()
    return storage


async def test_the_revisions_make_the_tables_of_the_code(postgres_url):
    await (await opened(postgres_url)).stop()
    assert await run_sync(postgres_url, differences) == []


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_database_of_every_revision_is_brought_up_to_date(postgres_url, revision):
    def as_of(connection: Connection) -> None:
        migrate.migrate(connection, revision)
        statements = (_FIRST_ROWS + (_JOB if revision == "0002" else "")).split(";\n")
        for statement in filter(str.strip, statements):
            connection.exec_driver_sql(statement)

    await run_sync(postgres_url, as_of)
    storage = await opened(postgres_url)
    async with storage.begin() as work:
        (base,) = await work.knowledge_bases.all()
        (file,) = await work.files.of_base(base.id)
        assert (base.name.value, file.size_bytes, file.fingerprint) == ("政策", 3_000_000_000, None)
        (chunk,) = await work.chunks.of_file(file.id)
        assert (chunk.text, chunk.place.page) == ("五天", 3)
        job = await work.jobs.find(file.id)
        assert (job is not None and job.is_staged) is (revision == "0002")
    await storage.stop()
    assert await run_sync(postgres_url, differences) == []


async def test_a_newer_database_is_refused_by_name(postgres_url):
    await (await opened(postgres_url)).stop()

    def later(connection: Connection) -> None:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    await run_sync(postgres_url, later)
    with pytest.raises(StoreFailed, match=r"9999.*newer"):
        await opened(postgres_url)


async def test_two_programs_may_start_at_once(postgres_url):
    assert await opened_at_once(postgres_url, 3) == [0, 0, 0]


async def test_a_database_that_is_absent_is_reported(postgres_server: PostgresServer, tmp_path: Path):
    with pytest.raises(StoreFailed, match="cannot be opened"):
        await opened(postgres_server.url("nowhere"))
    with pytest.raises(StoreFailed, match="cannot be opened"):
        await opened(f"postgresql+asyncpg://me@/x?host={tmp_path}")


async def test_lost_connections_are_reported_and_replaced(postgres_server: PostgresServer, postgres_url):
    storage = await opened(postgres_url)
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test_%'"

    async def interrupted() -> None:
        async with storage.begin() as work:
            await work.knowledge_bases.add(make_base())
            await postgres_server.execute(ended)
            await work.files.save(make_file(make_base()))

    with pytest.raises(StoreFailed):
        await interrupted()
    async with storage.begin() as work:
        assert await work.knowledge_bases.all() == []
    await postgres_server.execute(ended)
    async with storage.begin() as work:
        await work.knowledge_bases.add(make_base())
    await storage.stop()


async def test_times_come_out_in_utc_whatever_the_servers_zone(postgres_server: PostgresServer, postgres_url):
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    await postgres_server.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Shanghai'")
    storage = await opened(postgres_url)
    local = MOMENT.astimezone(timezone(timedelta(hours=-5)))
    async with storage.begin() as work:
        await work.conversations.open(Conversation(ConversationId("a"), "me", "", local, local))
    async with storage.begin() as work:
        found = await work.conversations.get(ConversationId("a"))
    assert (found.created_at, found.created_at.utcoffset()) == (local, timedelta(0))
    await storage.stop()


async def test_rows_come_from_sqlite_and_turns_go_on_after_them(postgres_url, tmp_path: Path):
    other = await opened(f"sqlite+aiosqlite:///{tmp_path / 'other.db'}")
    turns = [make_turn(name, "a", minute) for minute, name in enumerate(("z", "y", "x"))]
    failed = dataclasses.replace(make_file(make_base()), warnings=("第 3 页没有文字",))
    async with other.begin() as work:
        await work.knowledge_bases.add(make_base())
        await work.files.save(failed)
        await work.conversations.open(make_thread("a"))
        for turn in turns:
            await work.conversations.add_turn(turn)
    await other.stop()
    storage = await opened(postgres_url)
    async with storage.begin() as work:
        await work.conversations.add_turn(make_turn("here already", None))
    assert await storage.import_rows(tmp_path / "other.db") == 6
    async with storage.begin() as work:
        await work.conversations.add_turn(make_turn("after", "a", 9))
    async with storage.begin() as work:
        assert await work.files.of_base(make_base().id) == [failed]
        kept = await work.conversations.turns(ConversationId("a"))
    assert kept == [*turns, make_turn("after", "a", 9)]
    with pytest.raises(StoreFailed, match="cannot be copied"):
        await storage.import_rows(tmp_path / "other.db")
    await storage.clear()
    async with storage.begin() as work:
        assert await work.knowledge_bases.all() == []
        await work.conversations.add_turn(make_turn("anew", None))
    await storage.stop()


async def test_the_drivers_name_may_be_left_out(postgres_url):
    storage = await opened(postgres_url.replace("+asyncpg", ""))
    async with storage.begin() as work:
        assert await work.knowledge_bases.all() == []
    await storage.stop()


async def test_a_driver_that_is_absent_is_named(postgres_url):
    with pytest.raises(InvalidSetting, match=r"knowledge\.database_url.*not installed"):
        await opened(postgres_url.replace("+asyncpg", "+psycopg"))
