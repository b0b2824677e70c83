"""The repository of ingest jobs and of the chunks they stage."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.domain.ingestion import IngestJob
from services.api.domain.knowledge import Chunk, ChunkId, FileId, KnowledgeBaseId, KnowledgeFile, SplitterChoice
from services.api.domain.names import FileName
from services.api.storage.failures import STORE, conflicts
from services.api.storage.knowledge import chunk_values, place_of
from services.api.storage.tables import ChunkRecord, IngestJobRecord, StagedChunkRecord
from services.foundation.errors import FileNotInBase, StoreFailed

_IDS_PER_STATEMENT = 500
_ROWS_PER_STATEMENT = 1000
_COLUMNS = ("id", "knowledge_base_id", "file_id", "version", "position", "text", "place")


class SqlIngestJobs:
    """The jobs, and the chunks of versions that are being indexed."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find(self, file: FileId) -> IngestJob | None:
        row = await self._session.get(IngestJobRecord, file)
        return None if row is None else _job(row)

    async def save(self, job: IngestJob) -> None:
        values = _job_values(job)
        with conflicts(taken=_twice("one file has two jobs"), absent=_absent(job.file_id)):
            change = update(IngestJobRecord).where(IngestJobRecord.file_id == job.file_id).values(values)
            if await self._session.scalar(change.returning(IngestJobRecord.file_id)) is None:
                await self._session.execute(insert(IngestJobRecord).values(values))

    async def stage(self, file: FileId, chunks: Sequence[Chunk]) -> None:
        for at in range(0, len(chunks), _ROWS_PER_STATEMENT):
            values = [{**chunk_values(chunk), "is_indexed": False} for chunk in chunks[at : at + _ROWS_PER_STATEMENT]]
            with conflicts(taken=_twice("two chunks have one id"), absent=_absent(file)):
                await self._session.execute(insert(StagedChunkRecord), values)

    async def next_batch(self, file: KnowledgeFile, *, limit: int) -> list[Chunk]:
        waiting = StagedChunkRecord.file_id == file.id, StagedChunkRecord.is_indexed.is_(False)
        wanted = select(StagedChunkRecord).where(*waiting).order_by(StagedChunkRecord.position).limit(limit)
        return [_chunk(row, file.name) for row in await self._session.scalars(wanted)]

    async def mark(self, ids: Sequence[ChunkId]) -> None:
        for at in range(0, len(ids), _IDS_PER_STATEMENT):
            some = StagedChunkRecord.id.in_(ids[at : at + _IDS_PER_STATEMENT])
            await self._session.execute(update(StagedChunkRecord).where(some).values(is_indexed=True))

    async def staged_ids(self, file: FileId) -> list[ChunkId]:
        wanted = select(StagedChunkRecord.id).where(StagedChunkRecord.file_id == file)
        return [ChunkId(id_) for id_ in await self._session.scalars(wanted.order_by(StagedChunkRecord.position))]

    async def publish(self, file: FileId) -> None:
        await self._session.execute(delete(ChunkRecord).where(ChunkRecord.file_id == file))
        columns = [getattr(StagedChunkRecord, column) for column in _COLUMNS]
        staged = select(*columns).where(StagedChunkRecord.file_id == file)
        with conflicts(taken=_twice("two chunks have one id"), absent=_absent(file)):
            await self._session.execute(insert(ChunkRecord).from_select(_COLUMNS, staged))
        await self.remove(file)

    async def unstage(self, file: FileId) -> None:
        await self._session.execute(delete(StagedChunkRecord).where(StagedChunkRecord.file_id == file))

    async def remove(self, file: FileId) -> None:
        await self.unstage(file)
        await self._session.execute(delete(IngestJobRecord).where(IngestJobRecord.file_id == file))


def _twice(reason: str) -> StoreFailed:
    return StoreFailed(store=STORE, reason=reason)


def _absent(file: FileId) -> FileNotInBase:
    return FileNotInBase(knowledge_base="", file=file)


def _job_values(job: IngestJob) -> dict[str, object]:
    return {
        "file_id": job.file_id,
        "sha256": job.sha256,
        "splitter": {"name": job.splitter.name, "options": dict(job.splitter.options)},
        "attempt": job.attempt,
        "is_staged": job.is_staged,
        "warnings": list(job.warnings),
        "loader": job.loader,
        "splitter_class": job.splitter_class,
    }


def _job(row: IngestJobRecord) -> IngestJob:
    return IngestJob(
        file_id=FileId(row.file_id),
        sha256=row.sha256,
        splitter=SplitterChoice(row.splitter["name"], row.splitter["options"]),
        attempt=row.attempt,
        is_staged=row.is_staged,
        warnings=tuple(row.warnings),
        loader=row.loader,
        splitter_class=row.splitter_class,
    )


def _chunk(row: StagedChunkRecord, name: FileName) -> Chunk:
    return Chunk(
        id=ChunkId(row.id),
        knowledge_base_id=KnowledgeBaseId(row.knowledge_base_id),
        file_id=FileId(row.file_id),
        file_name=name,
        version=row.version,
        position=row.position,
        text=row.text,
        place=place_of(row.place),
    )
