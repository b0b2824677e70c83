"""Indexer: takes files that wait to be indexed, a few at a time, whoever put them in line. Any number may run.

They agree through holds on the jobs in the metadata database: the jobs of a process that died are taken up by others,
and by itself when it is back. Another way to spread the same jobs over machines would take this module's place.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field

from services.api.domain.ingestion import Hold, IngestJob, JobLost, Progress, Stage
from services.api.domain.knowledge import FileId, KnowledgeBaseId, SourceFile
from services.api.knowledge.files import ContentFolders, StoredFile
from services.api.knowledge.ingest import Indexes, Ingestor, Work, purge, retire_staged
from services.foundation.errors import ChatchatError, FileNotInBase, UnreadableFile

log = logging.getLogger(__name__)
_HOLD_SECONDS = 10.0
_RENEW_SECONDS = 1.0
_POLL_SECONDS = 0.2
_PURGE_SECONDS = 15.0


@dataclass(slots=True)
class _Run:
    """A job that is being done."""

    base: KnowledgeBaseId | None = None
    task: asyncio.Task[None] | None = None
    progress: Progress = field(default_factory=lambda: Progress(Stage.WAITING))

    def hear(self, progress: Progress) -> None:
        """How far it has got."""
        self.progress = progress


class Indexer:
    """Works through the jobs until it is stopped.

    Args:
        indexes: where the chunks go.
        ingestor: does a job.
        folders: where the files lie.
        holder: name of this process among those who hold jobs, the same after each restart.
        parallel_files: most files at a time.
    """

    def __init__(
        self, indexes: Indexes, ingestor: Ingestor, folders: ContentFolders, *, holder: str, parallel_files: int
    ) -> None:
        self._indexes = indexes
        self._ingestor = ingestor
        self._folders = folders
        self._hold = Hold(holder, _HOLD_SECONDS)
        self._parallel_files = parallel_files
        self._runs: dict[FileId, _Run] = {}
        self._renewed = self._purged = 0.0

    async def run(self) -> None:
        """Take jobs as they come, for ever. Failures of the database or the indexes are waited out."""
        await self._patiently(self._begin_anew())
        while True:
            await self._patiently(self._turn())
            await self._pause()

    async def drain(self) -> None:
        """Do the jobs that wait, and return when there is none."""
        await self._begin_anew()
        while await self._turn() or self._runs:
            await self._pause()

    async def stop(self) -> None:
        """Leave what is being done to others, or to the next start; what of it is done stays done."""
        for file in list(self._runs):
            await self._patiently(self._leave(file))

    async def _patiently(self, work: Awaitable[object]) -> None:
        try:
            await work
        except ChatchatError as failure:
            log.warning("indexing waits: %s", failure)

    async def _begin_anew(self) -> None:
        async with self._indexes.storage.begin() as unit:
            await unit.jobs.free(self._hold.holder)

    async def _pause(self) -> None:
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        if tasks and len(tasks) >= self._parallel_files:
            await asyncio.wait(tasks, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(_POLL_SECONDS)

    async def _turn(self) -> bool:
        """Look after what is being done, and begin what waits; whether something was begun."""
        self._collect()
        await self._look_after()
        began = False
        while len(self._runs) < self._parallel_files and await self._begin_next():
            began = True
        if not self._runs and time.monotonic() - self._purged > _PURGE_SECONDS:
            self._purged = time.monotonic()
            await purge(self._indexes)
        return began

    def _collect(self) -> None:
        for file, run in list(self._runs.items()):
            if run.task is not None and run.task.done():
                del self._runs[file]
                if not run.task.cancelled():
                    run.task.result()

    async def _look_after(self) -> None:
        """Renew the holds; leave what somebody else asks for, or has."""
        if not self._runs:
            return
        async with self._indexes.storage.begin() as unit:
            held = await unit.jobs.held(self._hold.holder)
            if time.monotonic() - self._renewed > _RENEW_SECONDS:
                self._renewed = time.monotonic()
                for file in self._runs.keys() & held.keys():
                    with contextlib.suppress(JobLost):  # it is over just now
                        await unit.jobs.renew(file, self._hold, self._runs[file].progress)
        for file in list(self._runs):
            if held.get(file, True):
                await self._leave(file)

    async def _leave(self, file: FileId) -> None:
        run = self._runs[file]
        if run.task is not None:
            run.task.cancel()
            await asyncio.gather(run.task, return_exceptions=True)
        self._runs.pop(file, None)
        async with self._indexes.storage.begin() as unit:
            await unit.jobs.let_go(file, self._hold)
            is_gone = run.base is not None and await unit.knowledge_bases.find(run.base) is None
        if run.base is not None and is_gone:  # deleted while a batch of it was on its way
            await self._indexes.drop(run.base)

    async def _begin_next(self) -> bool:
        async with self._indexes.storage.begin() as unit:
            job = await unit.jobs.claim(self._hold)
        if job is None:
            return False
        run = self._runs[job.file_id] = _Run()
        run.task = asyncio.create_task(self._do(job, run))
        return True

    async def _do(self, job: IngestJob, run: _Run) -> None:
        async with self._indexes.storage.begin() as unit:
            file = await unit.files.get(job.file_id)
            base = None if file is None else await unit.knowledge_bases.find(file.knowledge_base_id)
        if file is None or base is None:
            return
        run.base = base.id
        log.info("indexing %r of %r, attempt %d", file.name.value, base.name.value, job.attempt)
        work = Work(base, file, job, self._hold.holder, run.hear)
        try:
            try:
                stored = await asyncio.to_thread(self._folders.look_up, base.name, file.name)
            except UnreadableFile as failure:
                await self._ingestor.fail(work, failure)
                return
            if stored is None:
                await self._ingestor.fail(work, FileNotInBase(knowledge_base=base.name.value, file=file.name.value))
                return
            if stored.sha256 != job.sha256:
                work = await self._of_new_content(work, stored)
            source = SourceFile(file.name, self._folders.path(base.name, file.name), cache=self._folders.cache)
            await self._ingestor.index(work, source)
        except JobLost:
            log.info("%r of %r is somebody else's now", file.name.value, base.name.value)

    async def _of_new_content(self, work: Work, stored: StoredFile) -> Work:
        """The work on what lies there now: the process that stored it died before it could say so."""
        file = stored.put_on(work.file)
        job = IngestJob(file.id, file.sha256, work.job.splitter, work.job.attempt)
        async with self._indexes.storage.begin() as unit:
            await unit.jobs.save(job, work.holder)
            await retire_staged(unit, file)
            await unit.files.save(file)
        return dataclasses.replace(work, file=file, job=job)
