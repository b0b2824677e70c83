"""IndexQueue: what the knowledge service asks of the indexers, through the jobs in the metadata database.

An indexer may be a task of this process or any other process; see `indexing.py`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from services.api.domain.ingestion import Hold, IngestJob, Progress
from services.api.domain.knowledge import FileId, FileState, KnowledgeBase, KnowledgeFile, SplitterChoice
from services.api.domain.ports import Storage
from services.api.knowledge.ingest import Ingestor, withdraw
from services.foundation.errors import ChatchatError, IndexerAbsent

_POLL_SECONDS = 0.02
_SLOWEST_POLL_SECONDS = 0.25
_ASK_SECONDS = 0.1
_HOLD_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Indexing:
    """How the knowledge service has files indexed, or only read."""

    queue: IndexQueue
    ingestor: Ingestor


class IndexQueue:
    """Puts files in line to be indexed, waits for them, and gives them up. One queue per process.

    Args:
        storage: holds the jobs.
        holder: name of this process among those who hold jobs.
        absent_seconds: when nobody has worked on any job for so long, nobody will.
    """

    def __init__(self, storage: Storage, holder: str, *, absent_seconds: float = 30.0) -> None:
        self._storage = storage
        self._hold = Hold(holder, _HOLD_SECONDS)
        self._absent_seconds = absent_seconds
        self._awaited: dict[FileId, asyncio.Future[bool]] = {}
        self._pause_seconds = _POLL_SECONDS
        self._watching: asyncio.Task[None] | None = None

    async def progress(self, base: KnowledgeBase) -> Mapping[FileId, Progress]:
        """How far the base's files have got that are to be indexed."""
        async with self._storage.begin() as unit:
            return await unit.jobs.progress(base.id)

    async def put(self, record: KnowledgeFile, splitter: SplitterChoice) -> KnowledgeFile:
        """Put on record that a file is to be indexed: from here on it will be, whatever ends this process.

        What a crash left of the same job is kept.

        Raises:
            KnowledgeBaseNotFound, FileNotInBase.
        """
        await self.take(record.id)
        pending = dataclasses.replace(record, state=FileState.PENDING, failure=None)
        async with self._storage.begin() as unit:
            known = await unit.jobs.find(record.id)
            job = IngestJob(record.id, record.sha256, splitter)
            if known is not None and (known.sha256, known.splitter) == (job.sha256, job.splitter):
                job = dataclasses.replace(known, attempt=0)
            else:
                await withdraw(unit, record)
            await unit.files.save(pending)
            await unit.jobs.put(job)
        return pending

    async def cancel(self, record: KnowledgeFile) -> None:
        """Give up indexing a file. One that is not to be indexed stays as it is."""
        await self.take(record.id)
        async with self._storage.begin() as unit:
            known = await unit.files.get(record.id)
            if known is not None and known.state is FileState.PENDING:
                await withdraw(unit, known)
                await unit.files.save(dataclasses.replace(known, state=FileState.CANCELLED, failure=None))

    async def take(self, file: FileId) -> None:
        """See to it that nobody works on a file: for some seconds its job, if it has one, is ours."""
        while True:
            async with self._storage.begin() as unit:
                if await unit.jobs.take(file, self._hold):
                    return
            await asyncio.sleep(_ASK_SECONDS)

    async def finished(self, base: KnowledgeBase, file: KnowledgeFile) -> KnowledgeFile:
        """Wait until a file's job is over; its record then, CANCELLED when it is no more.

        Raises:
            KnowledgeBaseNotFound: the base was deleted meanwhile.
            IndexerAbsent: for half a minute nobody has worked on any job. The file stays in line.
            StoreFailed: the database cannot be asked.
        """
        over = self._awaited.setdefault(file.id, asyncio.get_running_loop().create_future())
        self._pause_seconds = _POLL_SECONDS
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        if not await asyncio.shield(over):
            raise IndexerAbsent(file=file.name.value)
        async with self._storage.begin() as unit:
            record = await unit.files.get(file.id)
            if record is None:
                await unit.knowledge_bases.get(base.name)
        return record or dataclasses.replace(file, state=FileState.CANCELLED, failure=None)

    async def _watch(self) -> None:
        """Ask for all awaited files at once, ever less often. An awaited future tells whether the job is over."""
        seen = time.monotonic()
        while self._awaited:
            await asyncio.sleep(self._pause_seconds)
            self._pause_seconds = min(self._pause_seconds * 1.5, _SLOWEST_POLL_SECONDS)
            try:
                async with self._storage.begin() as unit:
                    asked = set(self._awaited)
                    unfinished = await unit.jobs.unfinished(list(asked))
                    if await unit.jobs.is_any_held():
                        seen = time.monotonic()
            except ChatchatError as failure:
                for over in self._given_back(set(self._awaited)):
                    over.set_exception(failure)
                return
            for over in self._given_back(asked - unfinished):
                over.set_result(True)
            if time.monotonic() - seen > self._absent_seconds:
                for over in self._given_back(unfinished):
                    over.set_result(False)

    def _given_back(self, files: Collection[FileId]) -> list[asyncio.Future[bool]]:
        """The futures of files that are awaited no longer."""
        futures = [self._awaited.pop(file, None) for file in files]
        return [over for over in futures if over is not None and not over.done()]

    async def stop(self) -> None:
        """Leave whoever waits waiting: the process ends."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
