"""Reads the database of a 0.2.x installation, and never writes to it. Called by the importer.

The tables are those of 0.2.10 (`server/db/models` there). Columns that an earlier 0.2.x did not have count as empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Integer,
    Select,
    String,
    cast,
    column,
    func,
    inspect,
    literal_column,
    select,
    table,
    true,
)
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from services.api.domain.conversation import Conversation, ConversationId, Turn, TurnId
from services.api.domain.former import FormerBase, FormerFile, LeftBehind
from services.api.storage.tables import Record
from services.foundation.errors import ImportRefused

Row = Mapping[str, object]

_MARKS = {"knowledge_base": {"kb_name"}, "knowledge_file": {"kb_name", "file_name"}}
_CHATS = ("message", "chat_history")  # the second is what an earlier 0.2.x called the first
_NO_FEEDBACK = ("-1", "0", "")
_NUMBER: ColumnElement[int] = literal_column("rowid", Integer)
_TURNS_PER_BATCH = 500  # SQLite's limit of variables was 999 until 3.32
_BUSY_TIMEOUT_SECONDS = 5
_OTHER_DATABASES = (
    "only SQLite databases are imported; of an installation over PostgreSQL or MySQL, only the folder can be "
    "(--import-folder)"
)
_REMEDIES = {
    "locked": "another program is writing to it; stop the old installation and run this again",
    "busy": "another program is writing to it; stop the old installation and run this again",
    "not a database": f"it is no SQLite database; {_OTHER_DATABASES}",
    "readonly": "it was not closed properly; start and stop the old installation once, or import a copy that may be "
    "written to",
    "unable to open": "it cannot be opened; check that you may read it, and import a copy if its folder is read-only",
}


@asynccontextmanager
async def open_former(file: Path) -> AsyncIterator[FormerDatabase | None]:
    """The records of a 0.2.x database as they are now, or None when the file is a database of another kind.

    Raises:
        ImportRefused: it is absent, no SQLite database, damaged, or being written to for longer than five seconds.
    """
    address, written = await asyncio.to_thread(_found, file)
    engine = create_async_engine(address, connect_args={"timeout": _BUSY_TIMEOUT_SECONDS})
    try:
        async with AsyncExitStack() as stack:
            with _reading(file):
                connection = await stack.enter_async_context(engine.connect())
                await connection.exec_driver_sql("BEGIN")  # all that follows is read as of one moment
                columns = await connection.run_sync(_columns)
            is_former = all(marks <= columns.get(name, set()) for name, marks in _MARKS.items())
            yield FormerDatabase(connection, _Shape(file, columns, written)) if is_former else None
    finally:
        await engine.dispose()


@dataclass(frozen=True, slots=True)
class _Shape:
    """A database: the columns of each table, and the time that stands for one that was not kept."""

    file: Path
    columns: Mapping[str, set[str]]
    written: datetime


class FormerDatabase:
    """A FormerRecords over a connection that is in a transaction."""

    def __init__(self, connection: AsyncConnection, shape: _Shape) -> None:
        self._connection = connection
        self._shape = shape

    @property
    def beside_ours(self) -> bool:
        return set(Record.metadata.tables) <= set(self._shape.columns)

    async def bases(self) -> list[FormerBase]:
        """The bases, and those that only file records name."""
        files: dict[str, list[Row]] = {}
        for row in await self._rows("knowledge_file"):
            files.setdefault(_text(row.get("kb_name")).casefold(), []).append(row)
        found: dict[str, FormerBase] = {}
        for row in await self._rows("knowledge_base"):
            base = self._base(row, files.get(_text(row.get("kb_name")).casefold(), []))
            found.setdefault(base.name.casefold(), base)
        for key, rows in files.items():
            found.setdefault(key, self._base({"kb_name": rows[0]["kb_name"]}, rows))
        return list(found.values())

    async def conversations(self) -> list[Conversation]:
        if "conversation" not in self._shape.columns:
            return []
        return [self._conversation(row) for row in await self._rows("conversation") if _text(row.get("id"))]

    async def turns(self) -> AsyncIterator[list[Turn]]:
        for name in _CHATS:
            if "id" in self._shape.columns.get(name, set()):
                numbers = await self._numbers(name)
                for at in range(0, len(numbers), _TURNS_PER_BATCH):
                    rows = await self._rows(name, _NUMBER.in_(numbers[at : at + _TURNS_PER_BATCH]))
                    yield [self._turn(row) for row in rows if _text(row["id"])]

    async def left_behind(self) -> LeftBehind:
        feedback = 0
        for name in _CHATS:
            if {"feedback_score", "feedback_reason"} <= self._shape.columns.get(name, set()):
                points = cast(func.coalesce(column("feedback_score"), ""), String)
                given = points.notin_(_NO_FEEDBACK) | (func.coalesce(column("feedback_reason"), "") != "")
                feedback += await self._count(name, given)
        summaries = 0
        if "summary_chunk" in self._shape.columns:
            summaries = await self._count("summary_chunk", true())
        return LeftBehind(summaries=summaries, feedback=feedback)

    async def _numbers(self, name: str) -> Sequence[int]:
        """What SQLite numbers the rows by, oldest row first: all texts at once may be too much to hold."""
        with _reading(self._shape.file):
            found = await self._connection.scalars(self._oldest_first(name, select(_NUMBER)))
            return found.all()

    async def _rows(self, name: str, which: ColumnElement[bool] | None = None) -> list[Row]:
        """Rows with every column as SQLite holds it, oldest first: whatever was written is read."""
        columns: list[ColumnElement[Any]] = [column(each) for each in sorted(self._shape.columns[name])]
        wanted = self._oldest_first(name, select(*columns).where(true() if which is None else which))
        with _reading(self._shape.file):
            return [dict(row) for row in (await self._connection.execute(wanted)).mappings()]

    def _oldest_first(self, name: str, wanted: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
        timed: list[ColumnElement[Any]] = [column("create_time")] if "create_time" in self._shape.columns[name] else []
        return wanted.select_from(table(name)).order_by(*timed, _NUMBER)

    async def _count(self, name: str, which: ColumnElement[bool]) -> int:
        counted = select(func.count()).select_from(table(name)).where(which)
        with _reading(self._shape.file):
            return await self._connection.scalar(counted) or 0

    def _base(self, row: Row, files: list[Row]) -> FormerBase:
        read = [self._file(file) for file in files]
        latest = {file.path: file for file in sorted(read, key=lambda file: file.version) if file.path}
        return FormerBase(
            name=_text(row.get("kb_name")),
            description=_text(row.get("kb_info")),
            embedding_model=_text(row.get("embed_model")),
            vector_store=_text(row.get("vs_type")),
            created_at=self._moment(row.get("create_time")),
            files=tuple(latest[path] for path in sorted(latest)),
        )

    def _file(self, row: Row) -> FormerFile:
        created = self._moment(row.get("create_time"))
        return FormerFile(
            path=_text(row.get("file_name")).replace("\\", "/"),
            version=max(_number(row.get("file_version")), 1),
            size_bytes=max(_number(row.get("file_size")), 0),
            created_at=created,
            modified_at=_of_epoch(row.get("file_mtime"), created),
            loader=_text(row.get("document_loader_name")),
            splitter=_text(row.get("text_splitter_name")),
            edited=bool(_number(row.get("custom_docs"))),
        )

    def _conversation(self, row: Row) -> Conversation:
        began = self._moment(row.get("create_time"))
        return Conversation(ConversationId(_text(row.get("id"))), "", _text(row.get("name")), began, began)

    def _turn(self, row: Row) -> Turn:
        thread = _text(row.get("conversation_id"))
        return Turn(
            id=TurnId(_text(row["id"])),
            conversation_id=ConversationId(thread) if thread else None,
            chat_type=_text(row.get("chat_type")),
            question=_text(row.get("query")),
            answer=_text(row.get("response")),
            citations="[]",
            created_at=self._moment(row.get("create_time")),
        )

    def _moment(self, value: object) -> datetime:
        """A time as 0.2.10 wrote it, by SQLite's clock: UTC without a zone."""
        if isinstance(value, str):
            try:
                read = datetime.fromisoformat(value)
            except ValueError:
                return self._shape.written
            return read.replace(tzinfo=UTC) if read.tzinfo is None else read
        return _of_epoch(value, self._shape.written)


def _found(file: Path) -> tuple[URL, datetime]:
    """How the database is opened, and when it was last written."""
    if not file.is_file():
        raise ImportRefused(source=file.name, reason=f"there is no such file; {_OTHER_DATABASES}")
    address = URL.create("sqlite+aiosqlite", database=file.resolve().as_uri(), query={"mode": "ro", "uri": "true"})
    return address, datetime.fromtimestamp(file.stat().st_mtime, UTC)


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except DatabaseError as failure:
        said = str(failure.orig).partition("\n")[0]
        remedy = next((remedy for mark, remedy in _REMEDIES.items() if mark in said.lower()), None)
        reason = remedy or f"it cannot be read ({said}); check it with: sqlite3 {file.name} 'PRAGMA integrity_check'"
        raise ImportRefused(source=file.name, reason=reason) from failure


def _columns(connection: Connection) -> dict[str, set[str]]:
    seen = inspect(connection)
    return {name: {each["name"] for each in seen.get_columns(name)} for name in seen.get_table_names()}


def _text(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)
    return text.replace("\0", "")  # PostgreSQL keeps none


def _number(value: object) -> int:
    try:
        return int(float(str(value)))
    except (ValueError, OverflowError):
        return 0


def _of_epoch(value: object, otherwise: datetime) -> datetime:
    if not isinstance(value, int | float) or value <= 0:
        return otherwise
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return otherwise
