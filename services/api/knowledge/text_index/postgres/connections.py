"""The connections of the PostgreSQL keyword index. What PostgreSQL cannot do becomes StoreFailed here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import asyncpg

from services.api.knowledge.text_index.postgres.address import Arguments
from services.foundation.errors import StoreFailed

STORE = "keyword index"
_MOST = 4
_OPEN_SECONDS = 10
# A table that was filled a moment ago has no statistics yet, and would be read from end to end; and compiling takes
# longer than any search.
_SESSION = {"enable_seqscan": "off", "jit": "off"}
_BROKEN = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class Connections:
    """A few connections, opened as they are needed."""

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        with _failures():
            self._pool = await asyncpg.create_pool(
                **self._arguments, min_size=1, max_size=_MOST, timeout=_OPEN_SECONDS, server_settings=_SESSION
            )

    async def close(self) -> None:
        if self._pool is not None:
            with _failures():
                await self._pool.close()
            self._pool = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection, each of whose statements sees what is committed."""
        if self._pool is None:
            raise StoreFailed(store=STORE, reason="it has not been started")
        with _failures():
            connection = await _alive(self._pool)
            try:
                yield connection
            finally:
                await self._pool.release(connection)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection in a transaction, which is committed when the block ends well."""
        async with self.reading() as connection, connection.transaction():
            yield connection


async def _alive(pool: asyncpg.Pool) -> asyncpg.Connection:
    """A connection that answers: one that a restart of the server ended is noticed no earlier."""
    for _ in range(_MOST):
        connection = await pool.acquire(timeout=_OPEN_SECONDS)
        try:
            await connection.execute("SELECT 1")
        except (*_BROKEN, asyncpg.InternalClientError):
            with suppress(asyncpg.InterfaceError):  # the pool has seen it too
                connection.terminate()
            await pool.release(connection)
        else:
            return connection
    return await pool.acquire(timeout=_OPEN_SECONDS)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except _BROKEN as failure:
        reason = str(failure).partition("\n")[0] or type(failure).__name__
        raise StoreFailed(store=STORE, reason=reason) from failure
