"""The metadata database as a Storage: opened and migrated at start, one transaction a unit of work."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection, event, make_url
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.engine.interfaces import AdaptedConnection, DBAPIConnection, DBAPICursor
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from services.api.domain.ports import (
    Chunks,
    Conversations,
    FileSummaries,
    IngestJobs,
    KnowledgeBases,
    KnowledgeFiles,
    StagedChunks,
    StaleChunks,
)
from services.api.storage import transfer
from services.api.storage.conversations import SqlConversations
from services.api.storage.failures import STORE, database_failures
from services.api.storage.jobs import SqlIngestJobs
from services.api.storage.knowledge import SqlChunks, SqlKnowledgeBases, SqlKnowledgeFiles
from services.api.storage.migrate import migrate
from services.api.storage.staging import SqlStagedChunks, SqlStaleChunks
from services.api.storage.summaries import SqlFileSummaries
from services.foundation.errors import InvalidSetting, StoreFailed

# A disk that others write gigabytes to can keep a commit for many seconds; a file is not lost to that.
_BUSY_TIMEOUT_MS = 60_000
_SETTING = "knowledge.database_url"
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


class SqlUnitOfWork:
    """The repositories of one transaction."""

    knowledge_bases: KnowledgeBases
    files: KnowledgeFiles
    chunks: Chunks
    jobs: IngestJobs
    staged: StagedChunks
    stale: StaleChunks
    summaries: FileSummaries
    conversations: Conversations

    def __init__(self, session: AsyncSession) -> None:
        self.knowledge_bases = SqlKnowledgeBases(session)
        self.files = SqlKnowledgeFiles(session)
        self.chunks = SqlChunks(session)
        self.jobs = SqlIngestJobs(session)
        self.staged = SqlStagedChunks(session)
        self.stale = SqlStaleChunks(session)
        self.summaries = SqlFileSummaries(session)
        self.conversations = SqlConversations(session)


class SqlStorage:
    """A Storage over SQLAlchemy: SQLite by default, PostgreSQL by URL.

    A unit of work reads what is committed, as PostgreSQL does by default. On SQLite it takes the one write lock with
    its first write, never by upgrading a read, which SQLite may refuse; another writer waits up to a minute.
    """

    def __init__(self, url: str) -> None:
        try:
            named = make_url(url)
        except ArgumentError as failure:
            raise InvalidSetting(setting=_SETTING, reason="it is not an SQLAlchemy URL") from failure
        backend = named.get_backend_name()
        if backend not in _DRIVERS:
            raise InvalidSetting(setting=_SETTING, reason=f"it must name SQLite or PostgreSQL, not {backend}")
        self._url = named.set(drivername=_DRIVERS[backend]) if named.drivername == backend else named
        self._engine: AsyncEngine | None = None

    async def start(self) -> None:
        engine = self._create_engine()
        try:
            async with self._connected(engine) as connection:
                await connection.run_sync(migrate)
                await connection.commit()
        except BaseException:
            await engine.dispose()
            raise
        self._engine = engine

    async def stop(self) -> None:
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SqlUnitOfWork]:
        engine = self._started()
        # Statements go straight to the database, so a record read again must show what they did.
        options = {"populate_existing": True, "synchronize_session": False}
        async with (
            self._connected(engine) as connection,
            AsyncSession(connection, autoflush=False, execution_options=options) as session,
        ):
            yield SqlUnitOfWork(session)
            await session.commit()

    async def clear(self) -> None:
        """Drop all tables and make them again, empty. For init_database.py."""
        async with self._connected(self._started()) as connection:
            await connection.run_sync(transfer.clear)

    async def import_rows(self, file: Path) -> int:
        """Copy the rows of another SQLite database; returns how many. For init_database.py.

        Raises:
            StoreFailed: the file is no database of ours, or a row of it is here already; nothing was copied.
        """
        async with self._connected(self._started()) as connection:
            return await connection.run_sync(transfer.import_rows, file)

    def keeps(self, file: Path) -> bool:
        """Whether `file` is this database."""
        own = self._url.database if self._url.get_backend_name() == "sqlite" else None
        return own is not None and Path(own).exists() and file.exists() and file.samefile(own)

    def _started(self) -> AsyncEngine:
        if self._engine is None:
            raise StoreFailed(store=STORE, reason="it has not been started")
        return self._engine

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(engine.connect())
            except (SQLAlchemyError, OSError) as failure:
                raise StoreFailed(store=STORE, reason=f"it cannot be opened ({type(failure).__name__})") from failure
            with database_failures():
                yield connection

    def _create_engine(self) -> AsyncEngine:
        if self._url.get_backend_name() != "sqlite":
            try:
                with database_failures():
                    return create_async_engine(self._url, pool_pre_ping=True)
            except ModuleNotFoundError as absent:
                reason = f"its driver {absent.name} is not installed; name postgresql+asyncpg"
                raise InvalidSetting(setting=_SETTING, reason=reason) from absent
        if self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_async_engine(self._url, connect_args={"isolation_level": None})
        event.listen(engine.sync_engine, "connect", _set_pragmas)
        event.listen(engine.sync_engine, "before_cursor_execute", _begin_at_first_write, named=True)
        event.listen(engine.sync_engine, "invalidate", _end_transaction)
        return engine


def _set_pragmas(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    # An acknowledged upload survives kill -9 with NORMAL already; FULL keeps it through a power cut too.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_at_first_write(
    conn: Connection, cursor: DBAPICursor, context: DefaultExecutionContext | None, **_: object
) -> None:
    writes = context is not None and (context.isinsert or context.isupdate or context.isdelete)
    driver = conn.connection.driver_connection
    if writes and driver is not None and not driver.in_transaction:
        cursor.execute("BEGIN IMMEDIATE")


def _end_transaction(connection: DBAPIConnection, _: ConnectionPoolEntry, __: BaseException | None) -> None:
    """Give the write lock back before the connection of a cancelled unit of work is closed.

    SQLite closes a connection only when its last statement is gone, and the cancelled one may live until the next
    garbage collection.
    """
    if isinstance(connection, AdaptedConnection):
        with contextlib.suppress(Exception):  # what is broken is closed anyway
            connection.run_async(lambda driver: driver.rollback())
