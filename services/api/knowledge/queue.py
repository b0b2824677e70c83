"""IndexQueue: the files that are being indexed: how far each has got, and giving one up. Used by the service."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping

from services.api.domain.ingestion import Progress
from services.api.domain.knowledge import FileId, FileState, KnowledgeBase, KnowledgeFile, SourceFile, SplitterChoice
from services.api.domain.ports import Storage
from services.api.knowledge.ingest import Ingestor, Order


class IndexQueue:
    """Indexes files, each in a task of its own. The caller sees to it that a file is given once at a time."""

    def __init__(self, storage: Storage, ingestor: Ingestor) -> None:
        self._storage = storage
        self._ingestor = ingestor
        self._running: dict[FileId, asyncio.Task[KnowledgeFile]] = {}
        self._given_up: set[FileId] = set()
        self._progress: dict[FileId, Progress] = {}

    @property
    def progress(self) -> Mapping[FileId, Progress]:
        """How far the files that are being indexed have got."""
        return self._progress

    async def index(
        self, base: KnowledgeBase, record: KnowledgeFile, source: SourceFile, splitter: SplitterChoice
    ) -> KnowledgeFile:
        """Index a stored file; its record when that is over: INDEXED, FAILED or CANCELLED.

        Args:
            base: the file's.
            record: of the file.
            source: where it lies.
            splitter: how it is cut.
        """
        pending = await self.announce(record, splitter)
        order = Order(source, splitter, lambda progress: self._progress.update({record.id: progress}))
        task = asyncio.create_task(self._ingestor.index(base, pending, order))
        self._running[record.id] = task
        try:
            return await task
        except asyncio.CancelledError:
            if record.id not in self._given_up:
                raise
            return await self._ingestor.cancel(pending)
        finally:
            self._running.pop(record.id, None)
            self._given_up.discard(record.id)
            self._progress.pop(record.id, None)

    async def announce(self, record: KnowledgeFile, splitter: SplitterChoice) -> KnowledgeFile:
        """Put on record that a file is to be indexed: from here on it will be, whatever ends this process."""
        pending = dataclasses.replace(record, state=FileState.PENDING, failure=None)
        async with self._storage.begin() as work:
            await work.files.save(pending)
        await self._ingestor.register(pending, splitter)
        return pending

    def give_up(self, file: FileId) -> bool:
        """Have whoever waits for this file get it CANCELLED, soon; False when it is not being indexed."""
        task = self._running.get(file)
        if task is None:
            return False
        self._given_up.add(file)
        task.cancel()
        return True
