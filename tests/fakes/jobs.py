"""The repositories of jobs, staged chunks and stale chunks in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from services.api.domain.ingestion import Hold, IngestJob, JobLost, Progress
from services.api.domain.knowledge import Chunk, ChunkId, FileId, KnowledgeBaseId, KnowledgeFile
from services.foundation.errors import FileNotInBase, StoreFailed
from tests.fakes.tables import JobRow, Repository, Tables

_numbers = count()


class MemoryIngestJobs(Repository):
    async def find(self, file: FileId) -> IngestJob | None:
        row = self._tables.jobs.get(file)
        return row.job if row else None

    async def put(self, job: IngestJob) -> None:
        number = next(_numbers)

        def change(tables: Tables) -> None:
            if job.file_id not in tables.files:
                raise FileNotInBase(knowledge_base="", file=job.file_id)
            tables.jobs[job.file_id] = JobRow(job, number)

        self._transaction.change(change)

    async def take(self, file: FileId, hold: Hold) -> bool:
        row = self._tables.jobs.get(file)
        if row is None:
            return True
        if row.is_free or row.holder == hold.holder:
            self._change(file, hold=(hold.holder, hold.until), asked_by="")
            return True
        self._change(file, asked_by=hold.holder)
        return False

    async def claim(self, hold: Hold) -> IngestJob | None:
        waiting = sorted(
            (row for row in self._tables.jobs.values() if row.is_free), key=lambda row: (row.job.attempt, row.number)
        )
        if not waiting:
            return None
        job = dataclasses.replace(waiting[0].job, attempt=waiting[0].job.attempt + 1)
        self._change(job.file_id, hold=(hold.holder, hold.until), asked_by="", job=job)
        return job

    async def renew(self, file: FileId, hold: Hold, progress: Progress) -> None:
        self._own(file, hold.holder)
        self._change(file, hold=(hold.holder, hold.until), progress=progress)

    async def held(self, holder: str) -> Mapping[FileId, bool]:
        mine = [row for row in self._tables.jobs.values() if row.holder == holder]
        return {row.job.file_id: bool(row.asked_by) for row in mine}

    async def let_go(self, file: FileId, hold: Hold) -> None:
        row = self._tables.jobs.get(file)
        if row is None or row.holder != hold.holder:
            return
        job = dataclasses.replace(row.job, attempt=max(0, row.job.attempt - 1))
        self._change(file, hold=(row.asked_by, hold.until) if row.asked_by else None, asked_by="", job=job)

    async def free(self, holder: str) -> None:
        for file in await self.held(holder):
            self._change(file, hold=None)
        for row in list(self._tables.jobs.values()):
            if row.asked_by == holder:
                self._change(row.job.file_id, asked_by="")

    async def save(self, job: IngestJob, holder: str) -> None:
        self._own(job.file_id, holder)
        self._change(job.file_id, job=job)

    async def progress(self, base: KnowledgeBaseId) -> Mapping[FileId, Progress]:
        tables = self._tables
        return {
            FileId(file): row.progress
            for file, row in tables.jobs.items()
            if tables.files[file].knowledge_base_id == base
        }

    async def unfinished(self, files: Sequence[FileId]) -> set[FileId]:
        return {file for file in files if file in self._tables.jobs}

    async def is_any_held(self) -> bool:
        return any(not row.is_free for row in self._tables.jobs.values())

    async def remove(self, file: FileId) -> None:
        def change(tables: Tables) -> None:
            tables.jobs.pop(file, None)

        self._transaction.change(change)

    def _own(self, file: FileId, holder: str) -> None:
        row = self._tables.jobs.get(file)
        if row is None or row.holder != holder:
            raise JobLost

    def _change(self, file: FileId, **changes: Any) -> None:
        def change(tables: Tables) -> None:
            if file in tables.jobs:
                tables.jobs[file] = dataclasses.replace(tables.jobs[file], **changes)

        self._transaction.change(change)


class MemoryStagedChunks(Repository):
    async def add(self, file: FileId, chunks: Sequence[Chunk]) -> None:
        def change(tables: Tables) -> None:
            if chunks and file not in tables.files:
                raise FileNotInBase(knowledge_base="", file=file)
            for chunk in chunks:
                if chunk.id in tables.staged:
                    raise StoreFailed(store="metadata database", reason="two chunks have one id")
                tables.staged[chunk.id] = (chunk, False)

        self._transaction.change(change)

    async def next_batch(self, file: KnowledgeFile, *, after: int = -1, limit: int) -> list[Chunk]:
        waiting = [chunk for chunk, is_indexed in self._of(file.id) if not is_indexed and chunk.position > after]
        return [dataclasses.replace(chunk, file_name=file.name) for chunk in waiting[:limit]]

    async def count_waiting(self, file: FileId) -> int:
        return sum(not is_indexed for _, is_indexed in self._of(file))

    async def mark(self, ids: Sequence[ChunkId]) -> None:
        def change(tables: Tables) -> None:
            tables.staged |= {id_: (tables.staged[id_][0], True) for id_ in ids if id_ in tables.staged}

        self._transaction.change(change)

    async def ids(self, file: FileId) -> list[ChunkId]:
        return [chunk.id for chunk, _ in self._of(file)]

    async def texts(self, file: FileId, *, limit: int) -> list[str]:
        return [chunk.text for chunk, _ in self._of(file)[:limit]]

    async def ids_of_base(self, base: KnowledgeBaseId) -> set[ChunkId]:
        return {chunk.id for chunk, _ in self._tables.staged.values() if chunk.knowledge_base_id == base}

    async def publish(self, file: FileId) -> None:
        def change(tables: Tables) -> None:
            staged = [chunk for chunk, _ in tables.staged.values() if chunk.file_id == file]
            tables.chunks = {id_: chunk for id_, chunk in tables.chunks.items() if chunk.file_id != file}
            tables.chunks |= {chunk.id: chunk for chunk in staged}
            _forget(tables, file)

        self._transaction.change(change)

    async def remove(self, file: FileId) -> None:
        self._transaction.change(lambda tables: _forget(tables, file))

    def _of(self, file: FileId) -> list[tuple[Chunk, bool]]:
        found = [kept for kept in self._tables.staged.values() if kept[0].file_id == file]
        return sorted(found, key=lambda kept: kept[0].position)


class MemoryStaleChunks(Repository):
    async def add(self, base: KnowledgeBaseId, ids: Sequence[ChunkId]) -> None:
        self._transaction.change(lambda tables: tables.stale.update(dict.fromkeys(ids, base)))

    async def some(self, *, limit: int) -> Mapping[KnowledgeBaseId, list[ChunkId]]:
        await self.remove([ChunkId(id_) for id_ in self._tables.stale if self._is_back(id_)])
        found: dict[KnowledgeBaseId, list[ChunkId]] = {}
        for id_, base in list(self._tables.stale.items())[:limit]:
            found.setdefault(base, []).append(ChunkId(id_))
        return found

    async def remove(self, ids: Sequence[ChunkId]) -> None:
        def change(tables: Tables) -> None:
            for id_ in ids:
                tables.stale.pop(id_, None)

        self._transaction.change(change)

    def _is_back(self, id_: str) -> bool:
        return id_ in self._tables.chunks or id_ in self._tables.staged


def _forget(tables: Tables, file: FileId) -> None:
    tables.staged = {id_: kept for id_, kept in tables.staged.items() if kept[0].file_id != file}
