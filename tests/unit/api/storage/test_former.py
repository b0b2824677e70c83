"""Reading a database of 0.2.x: what is found in it, and what is said when it cannot be read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.api.domain.conversation import Conversation, Turn
from services.api.domain.former import FormerBase, LeftBehind
from services.api.storage.database import SqlStorage
from services.api.storage.former import open_former
from services.foundation.errors import ImportRefused
from tests.former_installation import EARLY_DDL, FormerInstallation, filled

CREATED = datetime(2024, 2, 29, 8, 15, 30, tzinfo=UTC)


@pytest.fixture
def old(tmp_path: Path) -> FormerInstallation:
    return filled(tmp_path / "knowledge_base")


async def bases(file: Path) -> dict[str, FormerBase]:
    async with open_former(file) as former:
        assert former is not None
        return {base.name: base for base in await former.bases()}


async def chats(file: Path) -> tuple[list[Conversation], list[Turn]]:
    async with open_former(file) as former:
        assert former is not None
        return await former.conversations(), [turn async for batch in former.turns() for turn in batch]


async def test_bases_and_their_files_are_read_as_they_were_kept(old: FormerInstallation):
    found = await bases(old.database)
    assert list(found) == ["人事制度", "docs"]
    base = found["人事制度"]
    assert (base.description, base.embedding_model, base.vector_store) == (
        "关于人事制度的知识库", "bge-large-zh-v1.5", "faiss",
    )  # fmt: skip
    assert base.created_at == CREATED
    files = {file.path: file for file in base.files}
    assert sorted(files) == ["2023/报告.md", "年假.txt", "改过.txt"]
    leave = files["年假.txt"]
    assert (leave.version, leave.size_bytes, leave.edited) == (3, 13, False)
    assert leave.modified_at == datetime(2024, 2, 29, 8, 6, 40, 250000, tzinfo=UTC)
    assert (leave.loader, leave.splitter) == ("UnstructuredFileLoader", "ChineseRecursiveTextSplitter")
    assert files["改过.txt"].edited


async def test_messages_are_turns_in_the_order_of_their_time(old: FormerInstallation):
    old.add_message("m0", "c1", "早", "好", "2024-02-01 00:00:00")
    old.execute("INSERT INTO conversation VALUES ('c9', '旧对话', 'llm_chat', '2024-01-01 00:00:00')")
    threads, turns = await chats(old.database)
    assert [(thread.id, thread.title, thread.owner) for thread in threads] == [("c9", "旧对话", "")]
    assert [(turn.id, turn.conversation_id, turn.answer) for turn in turns] == [
        ("m0", "c1", "好"), ("m1", "c1", "五天"), ("m2", "c1", "十天"), ("m3", None, ""),
    ]  # fmt: skip
    assert turns[1].created_at == datetime(2024, 3, 1, 9, tzinfo=UTC)
    assert (turns[1].chat_type, turns[1].question, turns[1].citations) == ("llm_chat", "年假几天？", "[]")


async def test_more_turns_than_one_batch(old: FormerInstallation):
    rows = [(f"n{number}", f"q{number}") for number in range(2500)]
    old.execute("INSERT INTO message (id, query, create_time) VALUES (?, ?, '2025-01-01')", *rows)
    _, turns = await chats(old.database)
    assert [turn.question for turn in turns[3:]] == [question for _, question in rows]


async def test_what_has_no_place_here_is_counted(old: FormerInstallation):
    async with open_former(old.database) as former:
        assert former is not None
        assert await former.left_behind() == LeftBehind(summaries=1, feedback=1)
        assert not former.beside_ours


async def test_an_earlier_0_2_x_had_fewer_columns(tmp_path: Path):
    old = FormerInstallation(tmp_path / "kb").create(EARLY_DDL)
    old.execute("INSERT INTO knowledge_base VALUES (1, 'a', 'faiss', 'm3e-base', 1, '2023-08-01 10:00:00.123456')")
    old.execute("INSERT INTO knowledge_file VALUES (1, 'f.txt', '.txt', 'a', 'L', 'S', 2, '2023-08-02 10:00:00')")
    old.execute("INSERT INTO chat_history VALUES ('h1', 'chat', 'q', 'r', '{}', 0, NULL, '2023-08-03 10:00:00')")
    base = (await bases(old.database))["a"]
    assert base.created_at == datetime(2023, 8, 1, 10, 0, 0, 123456, tzinfo=UTC)
    (file,) = base.files
    assert (file.version, file.size_bytes, file.edited, file.modified_at) == (2, 0, False, file.created_at)
    threads, turns = await chats(old.database)
    assert threads == []
    assert [(turn.id, turn.conversation_id, turn.question) for turn in turns] == [("h1", None, "q")]
    async with open_former(old.database) as former:
        assert former is not None
        assert await former.left_behind() == LeftBehind()


async def test_values_that_nobody_expects_do_no_harm(old: FormerInstallation):
    """SQLite keeps anything in any column."""
    old.execute("UPDATE knowledge_base SET kb_info = NULL, create_time = 'yesterday' WHERE kb_name = 'docs'")
    old.execute(
        "UPDATE knowledge_file SET file_version = 'x', file_mtime = 9e99, file_size = NULL WHERE kb_name = 'docs'"
    )
    old.execute("INSERT INTO message (id, query, response) VALUES ('', 'no id', ''), ('m9', x'ff41', 7)")
    base = (await bases(old.database))["docs"]
    (file,) = base.files
    assert (base.description, file.version, file.size_bytes, file.modified_at) == ("", 1, 0, CREATED)
    assert abs((datetime.now(UTC) - base.created_at).total_seconds()) < 600  # when the database was last written
    _, turns = await chats(old.database)
    assert [turn.answer for turn in turns if turn.id == "m9"] == ["7"]
    assert "" not in {turn.id for turn in turns}


async def test_doubled_records_and_files_of_no_base(old: FormerInstallation):
    old.add_file("docs", "readme.md", version=5)
    old.add_file("DOCS", "sub\\x.md")
    old.add_file("orphan", "y.md")
    found = await bases(old.database)
    assert [(file.path, file.version) for file in found["docs"].files] == [("readme.md", 5), ("sub/x.md", 1)]
    assert (found["orphan"].embedding_model, [file.path for file in found["orphan"].files]) == ("", ["y.md"])


async def test_reading_changes_nothing(old: FormerInstallation):
    before, written = old.everything(), old.database.stat().st_mtime_ns
    await bases(old.database)
    await chats(old.database)
    assert old.everything() == before
    assert old.database.stat().st_mtime_ns == written


async def test_a_database_of_another_kind_is_not_taken_for_one_of_0_2_x(tmp_path: Path):
    ours, other = tmp_path / "info.db", tmp_path / "other.db"
    storage = SqlStorage(f"sqlite+aiosqlite:///{ours}")
    await storage.start()
    await storage.stop()
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE knowledge_base (colour TEXT)")
        connection.execute("CREATE TABLE knowledge_file (kb_name TEXT)")
    for file in (ours, other):
        async with open_former(file) as former:
            assert former is None


async def test_a_database_with_our_tables_too_says_so(old: FormerInstallation):
    storage = SqlStorage(f"sqlite+aiosqlite:///{old.database}")
    await storage.start()
    await storage.stop()
    async with open_former(old.database) as former:
        assert former is not None
        assert former.beside_ours


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such file.*PostgreSQL or MySQL"), (b"-- MySQL dump 10.13\n" * 100, "no SQLite.*PostgreSQL or MySQL")],
    ids=["absent", "no database"],
)
async def test_what_is_no_sqlite_database_is_refused(tmp_path: Path, content: bytes | None, said: str):
    file = tmp_path / "info.db"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ImportRefused, match=said):
        async with open_former(file):
            pytest.fail("it was opened")


async def test_a_damaged_database_is_named_with_the_means_to_check_it(old: FormerInstallation):
    whole = old.database.read_bytes()
    page = whole.index("年假几天？".encode()) // 4096
    old.database.write_bytes(whole[: page * 4096] + b"\xff" * 4096 + whole[(page + 1) * 4096 :])
    with pytest.raises(ImportRefused, match=r"malformed.*integrity_check"):
        await chats(old.database)


async def test_a_writer_is_waited_for_and_then_named(old: FormerInstallation):
    with closing(sqlite3.connect(old.database, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ImportRefused, match="another program is writing"):
            await bases(old.database)
        writer.execute("ROLLBACK")
    assert len(await bases(old.database)) == 2


async def test_what_a_writer_adds_meanwhile_is_not_seen_by_half(old: FormerInstallation):
    """0.2.x in WAL mode, as some run it: the writer does not wait for us, and we see one moment."""
    old.execute("PRAGMA journal_mode=WAL")
    async with open_former(old.database) as former:
        assert former is not None
        before = await former.bases()
        old.add_file("docs", "late.md")
        old.add_message("late", "c1", "?", "!")
        assert await former.bases() == before
        assert "late" not in {turn.id async for batch in former.turns() for turn in batch}
