"""The repositories of chunks on their way in, and of chunks on their way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.domain.knowledge import Chunk, ChunkId, FileId, KnowledgeBaseId, KnowledgeFile
from services.api.domain.names import FileName
from services.api.storage.failures import STORE, conflicts
from services.api.storage.knowledge import chunk_values, place_of
from services.api.storage.tables import ChunkRecord, StagedChunkRecord, StaleChunkRecord
from services.foundation.errors import FileNotInBase, StoreFailed

_IDS_PER_STATEMENT = 500
_ROWS_PER_STATEMENT = 1000
_COLUMNS = ("id", "knowledge_base_id", "file_id", "version", "position", "text", "place")
_TWICE = "two chunks have one id"


class SqlStagedChunks:
    """The chunks of versions that are being indexed."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, file: FileId, chunks: Sequence[Chunk]) -> None:
        for at in range(0, len(chunks), _ROWS_PER_STATEMENT):
            values = [{**chunk_values(chunk), "is_indexed": False} for chunk in chunks[at : at + _ROWS_PER_STATEMENT]]
            with conflicts(taken=StoreFailed(store=STORE, reason=_TWICE), absent=_absent(file)):
                await self._session.execute(insert(StagedChunkRecord), values)

    async def next_batch(self, file: KnowledgeFile, *, after: int = -1, limit: int) -> list[Chunk]:
        waiting = StagedChunkRecord.file_id == file.id, StagedChunkRecord.is_indexed.is_(False)
        wanted = (
            select(StagedChunkRecord)
            .where(*waiting, StagedChunkRecord.position > after)
            .order_by(StagedChunkRecord.position)
            .limit(limit)
        )
        return [_chunk(row, file.name) for row in await self._session.scalars(wanted)]

    async def count_waiting(self, file: FileId) -> int:
        waiting = StagedChunkRecord.file_id == file, StagedChunkRecord.is_indexed.is_(False)
        return await self._session.scalar(select(func.count()).select_from(StagedChunkRecord).where(*waiting)) or 0

    async def mark(self, ids: Sequence[ChunkId]) -> None:
        for at in range(0, len(ids), _IDS_PER_STATEMENT):
            some = StagedChunkRecord.id.in_(ids[at : at + _IDS_PER_STATEMENT])
            await self._session.execute(update(StagedChunkRecord).where(some).values(is_indexed=True))

    async def ids(self, file: FileId) -> list[ChunkId]:
        wanted = select(StagedChunkRecord.id).where(StagedChunkRecord.file_id == file)
        return [ChunkId(id_) for id_ in await self._session.scalars(wanted.order_by(StagedChunkRecord.position))]

    async def texts(self, file: FileId, *, limit: int) -> list[str]:
        wanted = select(StagedChunkRecord.text).where(StagedChunkRecord.file_id == file)
        return list(await self._session.scalars(wanted.order_by(StagedChunkRecord.position).limit(limit)))

    async def ids_of_base(self, base: KnowledgeBaseId) -> set[ChunkId]:
        wanted = select(StagedChunkRecord.id).where(StagedChunkRecord.knowledge_base_id == base)
        return {ChunkId(id_) for id_ in await self._session.scalars(wanted)}

    async def publish(self, file: FileId) -> None:
        await self._session.execute(delete(ChunkRecord).where(ChunkRecord.file_id == file))
        columns = [getattr(StagedChunkRecord, column) for column in _COLUMNS]
        staged = select(*columns).where(StagedChunkRecord.file_id == file)
        with conflicts(taken=StoreFailed(store=STORE, reason=_TWICE), absent=_absent(file)):
            await self._session.execute(insert(ChunkRecord).from_select(_COLUMNS, staged))
        await self.remove(file)

    async def remove(self, file: FileId) -> None:
        await self._session.execute(delete(StagedChunkRecord).where(StagedChunkRecord.file_id == file))


class SqlStaleChunks:
    """The chunks that the indexes have yet to forget."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, base: KnowledgeBaseId, ids: Sequence[ChunkId]) -> None:
        new = (postgresql if self._session.get_bind().dialect.name == "postgresql" else sqlite).insert(StaleChunkRecord)
        known = new.on_conflict_do_nothing()
        # In one order: two that add the same at once wait for each other, and never in a circle.
        ordered = sorted(ids)
        for at in range(0, len(ordered), _ROWS_PER_STATEMENT):
            values = [{"id": id_, "knowledge_base_id": base} for id_ in ordered[at : at + _ROWS_PER_STATEMENT]]
            await self._session.execute(known, values)

    async def some(self, *, limit: int) -> Mapping[KnowledgeBaseId, list[ChunkId]]:
        if await self._session.scalar(select(StaleChunkRecord.id).limit(1)) is None:
            return {}
        for kept in (ChunkRecord, StagedChunkRecord):
            back = exists().where(kept.id == StaleChunkRecord.id)
            await self._session.execute(delete(StaleChunkRecord).where(back))
        found: dict[KnowledgeBaseId, list[ChunkId]] = {}
        wanted = select(StaleChunkRecord.knowledge_base_id, StaleChunkRecord.id).limit(limit)
        for base, id_ in await self._session.execute(wanted):
            found.setdefault(KnowledgeBaseId(base), []).append(ChunkId(id_))
        return found

    async def remove(self, ids: Sequence[ChunkId]) -> None:
        for at in range(0, len(ids), _IDS_PER_STATEMENT):
            some = StaleChunkRecord.id.in_(ids[at : at + _IDS_PER_STATEMENT])
            await self._session.execute(delete(StaleChunkRecord).where(some))


def _absent(file: FileId) -> FileNotInBase:
    return FileNotInBase(knowledge_base="", file=file)


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
