"""MilvusStore: keeps Milvus's blocking calls off the event loop and its writers apart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from services.api.domain.knowledge import ChunkId, EmbeddedChunk, KnowledgeBaseId, Match, Vector
from services.api.knowledge.vector_stores.milvus.collections import Collections
from services.api.knowledge.vector_stores.milvus.connection import MilvusConnection, connect
from services.api.knowledge.vector_stores.milvus.failures import STORE, milvus_failures
from services.api.knowledge.vector_stores.milvus.options import read_options
from services.foundation.errors import StoreFailed

R = TypeVar("R")

_READERS = 4


@dataclass(frozen=True, slots=True)
class _Opened:
    connection: MilvusConnection
    collections: Collections
    writer: ThreadPoolExecutor
    readers: ThreadPoolExecutor

    def close(self) -> None:
        self.readers.shutdown()
        self.writer.shutdown()
        with milvus_failures():
            self.connection.close()


class MilvusStore:
    """A VectorStore over Milvus: Lite in `folder`, or the server that the options name.

    Lite loses rows to concurrent writers (3.2.2), so one thread does all writing; it goes on to the end of its step
    when the caller is cancelled. Lite is for one process and, comfortably, some fifty thousand chunks a base.
    """

    def __init__(self, folder: Path, options: Mapping[str, object]) -> None:
        self._folder = folder
        self._options = read_options(options)
        self._opened: _Opened | None = None

    async def start(self) -> None:
        self._opened = await asyncio.to_thread(self._open)

    async def stop(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await asyncio.to_thread(opened.close)

    async def upsert(self, base: KnowledgeBaseId, chunks: Sequence[EmbeddedChunk]) -> None:
        if chunks:
            await self._write(lambda collections: collections.upsert(base, chunks))

    async def remove(self, base: KnowledgeBaseId, ids: Sequence[ChunkId]) -> None:
        if ids:
            await self._write(lambda collections: collections.remove(base, ids))

    async def search(
        self, base: KnowledgeBaseId, vector: Vector, *, limit: int, among: Set[ChunkId] | None = None
    ) -> list[Match]:
        return await self._read(lambda collections: collections.search(base, vector, limit, among))

    async def ids(self, base: KnowledgeBaseId) -> set[ChunkId]:
        return await self._read(lambda collections: collections.ids(base))

    async def bases(self) -> set[KnowledgeBaseId]:
        return await self._read(Collections.bases)

    async def drop(self, base: KnowledgeBaseId) -> None:
        await self._write(lambda collections: collections.drop(base))

    def _open(self) -> _Opened:
        connection = connect(self._folder, self._options)
        collections = Collections(connection, self._options)
        try:
            with milvus_failures():
                collections.load_all()
        except StoreFailed:
            connection.close()
            raise
        writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="milvus-write")
        readers = ThreadPoolExecutor(max_workers=_READERS, thread_name_prefix="milvus-read")
        return _Opened(connection, collections, writer, readers)

    async def _write(self, work: Callable[[Collections], R]) -> R:
        opened = self._running()
        return await _run(opened.writer, opened.collections, work)

    async def _read(self, work: Callable[[Collections], R]) -> R:
        opened = self._running()
        return await _run(opened.readers, opened.collections, work)

    def _running(self) -> _Opened:
        if self._opened is None:
            raise StoreFailed(store=STORE, reason="it has not been started")
        return self._opened


async def _run(executor: ThreadPoolExecutor, collections: Collections, work: Callable[[Collections], R]) -> R:
    def guarded() -> R:
        with milvus_failures():
            return work(collections)

    return await asyncio.get_running_loop().run_in_executor(executor, guarded)
