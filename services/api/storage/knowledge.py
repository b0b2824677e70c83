"""The repositories of knowledge bases, their files and their chunks.

What is listed by name is sorted here: PostgreSQL sorts as its collation says, which is another for each installation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence, Set
from contextlib import AbstractContextManager
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.domain.knowledge import (
    AnsweringChoice,
    Chunk,
    ChunkId,
    FileFailure,
    FileId,
    FileState,
    KnowledgeBase,
    KnowledgeBaseId,
    KnowledgeFile,
    Place,
    Splitting,
)
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.storage.failures import STORE, conflicts
from services.api.storage.tables import ChunkRecord, KnowledgeBaseRecord, KnowledgeFileRecord, PlaceFields
from services.foundation.errors import (
    FileExists,
    FileNotInBase,
    KnowledgeBaseExists,
    KnowledgeBaseNotFound,
    StoreFailed,
)

_IDS_PER_STATEMENT = 500  # SQLite's limit of variables was 999 until 3.32
_ROWS_PER_STATEMENT = 1000


class SqlKnowledgeBases:
    """The knowledge-base records."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, base: KnowledgeBase) -> None:
        with _name_conflicts(base):
            await self._session.execute(insert(KnowledgeBaseRecord).values(_base_values(base)))

    async def get(self, name: KnowledgeBaseName) -> KnowledgeBase:
        row = await self._session.scalar(select(KnowledgeBaseRecord).where(KnowledgeBaseRecord.key == name.key))
        if row is None:
            raise KnowledgeBaseNotFound(name=name.value)
        return _base(row)

    async def find(self, base: KnowledgeBaseId) -> KnowledgeBase | None:
        row = await self._session.get(KnowledgeBaseRecord, base)
        return None if row is None else _base(row)

    async def all(self) -> list[KnowledgeBase]:
        return await self._chosen(KnowledgeBaseRecord.expires_at.is_(None))

    async def temporary(self) -> list[KnowledgeBase]:
        return await self._chosen(KnowledgeBaseRecord.expires_at.is_not(None))

    async def _chosen(self, which: ColumnElement[bool]) -> list[KnowledgeBase]:
        found = await self._session.scalars(select(KnowledgeBaseRecord).where(which))
        return [_base(row) for row in sorted(found, key=lambda row: row.key)]

    async def renew(self, base: KnowledgeBaseId, *, now: datetime, until: datetime) -> KnowledgeBase | None:
        living = (KnowledgeBaseRecord.id == base, KnowledgeBaseRecord.expires_at > now)
        change = update(KnowledgeBaseRecord).where(*living).values(expires_at=until)
        renewed = await self._session.scalar(change.returning(KnowledgeBaseRecord.id))
        return None if renewed is None else await self.find(base)

    async def update(self, base: KnowledgeBase) -> None:
        values = _base_values(base)
        del values["expires_at"]  # whoever asks about its files may have renewed it since it was read
        change = update(KnowledgeBaseRecord).where(KnowledgeBaseRecord.id == base.id).values(values)
        with _name_conflicts(base):
            changed = await self._session.scalar(change.returning(KnowledgeBaseRecord.id))
        if changed is None:
            raise KnowledgeBaseNotFound(name=base.name.value)

    async def remove(self, base: KnowledgeBaseId) -> None:
        await self._session.execute(delete(KnowledgeBaseRecord).where(KnowledgeBaseRecord.id == base))


class SqlKnowledgeFiles:
    """The file records of a base."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def save(self, file: KnowledgeFile) -> None:
        values = _file_values(file)
        taken, absent = FileExists(file=file.name.value), KnowledgeBaseNotFound(name=file.knowledge_base_id)
        with conflicts(taken=taken, absent=absent):
            change = update(KnowledgeFileRecord).where(KnowledgeFileRecord.id == file.id).values(values)
            changed = await self._session.scalar(change.returning(KnowledgeFileRecord.id))
            if changed is None:
                await self._session.execute(insert(KnowledgeFileRecord).values(values))

    async def find(self, base: KnowledgeBaseId, name: FileName) -> KnowledgeFile | None:
        wanted = select(KnowledgeFileRecord).where(
            KnowledgeFileRecord.knowledge_base_id == base, KnowledgeFileRecord.name == name.value
        )
        row = await self._session.scalar(wanted)
        return None if row is None else _file(row)

    async def get(self, file: FileId) -> KnowledgeFile | None:
        row = await self._session.get(KnowledgeFileRecord, file)
        return None if row is None else _file(row)

    async def of_base(self, base: KnowledgeBaseId) -> list[KnowledgeFile]:
        found = await self._session.scalars(
            select(KnowledgeFileRecord).where(KnowledgeFileRecord.knowledge_base_id == base)
        )
        return [_file(row) for row in sorted(found, key=lambda row: row.name)]

    async def remove(self, file: FileId) -> None:
        await self._session.execute(delete(KnowledgeFileRecord).where(KnowledgeFileRecord.id == file))

    async def counts(self) -> Mapping[KnowledgeBaseId, int]:
        owner = KnowledgeFileRecord.knowledge_base_id
        found = await self._session.execute(select(owner, func.count()).group_by(owner))
        return {KnowledgeBaseId(base): count for base, count in found}


class SqlChunks:
    """The chunks' text."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def replace(self, file: KnowledgeFile, chunks: Sequence[Chunk]) -> None:
        await self._session.execute(delete(ChunkRecord).where(ChunkRecord.file_id == file.id))
        taken = StoreFailed(store=STORE, reason="two chunks have one id")
        absent = FileNotInBase(knowledge_base=file.knowledge_base_id, file=file.name.value)
        for at in range(0, len(chunks), _ROWS_PER_STATEMENT):
            values = [chunk_values(chunk) for chunk in chunks[at : at + _ROWS_PER_STATEMENT]]
            with conflicts(taken=taken, absent=absent):
                await self._session.execute(insert(ChunkRecord), values)

    async def fetch(self, base: KnowledgeBaseId, ids: Sequence[ChunkId]) -> list[Chunk]:
        """The chunks of these ids, in their order; ids the base does not hold are left out."""
        found: dict[ChunkId, Chunk] = {}
        for at in range(0, len(ids), _IDS_PER_STATEMENT):
            wanted = _CHUNKS.where(
                ChunkRecord.knowledge_base_id == base, ChunkRecord.id.in_(ids[at : at + _IDS_PER_STATEMENT])
            )
            rows = await self._session.execute(wanted)
            found |= {ChunkId(row.id): _chunk(row, name) for row, name in rows}
        return [found[id_] for id_ in dict.fromkeys(ids) if id_ in found]

    async def ids_of_file(self, file: FileId) -> list[ChunkId]:
        wanted = select(ChunkRecord.id).where(ChunkRecord.file_id == file).order_by(ChunkRecord.position)
        return [ChunkId(id_) for id_ in await self._session.scalars(wanted)]

    async def ids_of_base(self, base: KnowledgeBaseId) -> set[ChunkId]:
        wanted = select(ChunkRecord.id).where(ChunkRecord.knowledge_base_id == base)
        return {ChunkId(id_) for id_ in await self._session.scalars(wanted)}

    async def of_file(self, file: FileId) -> list[Chunk]:
        wanted = _CHUNKS.where(ChunkRecord.file_id == file).order_by(ChunkRecord.position)
        return [_chunk(row, name) for row, name in await self._session.execute(wanted)]

    async def around(self, file: FileId, position: int, *, reach: int) -> list[Chunk]:
        near = ChunkRecord.position.between(position - reach, position + reach)
        wanted = _CHUNKS.where(ChunkRecord.file_id == file, near).order_by(ChunkRecord.position)
        return [_chunk(row, name) for row, name in await self._session.execute(wanted)]

    async def places(self, base: KnowledgeBaseId, files: Set[FileId]) -> Mapping[ChunkId, Place]:
        """Where each chunk of these files stands."""
        found: dict[ChunkId, Place] = {}
        named = sorted(files)
        for at in range(0, len(named), _IDS_PER_STATEMENT):
            wanted = select(ChunkRecord.id, ChunkRecord.place).where(
                ChunkRecord.knowledge_base_id == base, ChunkRecord.file_id.in_(named[at : at + _IDS_PER_STATEMENT])
            )
            found |= {ChunkId(id_): place_of(place) for id_, place in await self._session.execute(wanted)}
        return found


_CHUNKS = select(ChunkRecord, KnowledgeFileRecord.name).join(
    KnowledgeFileRecord, ChunkRecord.file_id == KnowledgeFileRecord.id
)


def _name_conflicts(base: KnowledgeBase) -> AbstractContextManager[None]:
    return conflicts(
        taken=KnowledgeBaseExists(name=base.name.value), absent=KnowledgeBaseNotFound(name=base.name.value)
    )


def _base_values(base: KnowledgeBase) -> dict[str, object]:
    return {
        "id": base.id,
        "key": base.name.key,
        "name": base.name.value,
        "description": base.description,
        "embedding_model": base.embedding_model,
        "vector_store": base.vector_store,
        "created_at": base.created_at,
        "dimensions": base.dimensions,
        "expires_at": base.expires_at,
        **dataclasses.asdict(base.splitting),
        "answering": {name: value for name, value in dataclasses.asdict(base.answering).items() if value is not None}
        or None,
    }


def _base(row: KnowledgeBaseRecord) -> KnowledgeBase:
    return KnowledgeBase(
        id=KnowledgeBaseId(row.id),
        name=KnowledgeBaseName(row.name),
        description=row.description,
        embedding_model=row.embedding_model,
        vector_store=row.vector_store,
        created_at=row.created_at,
        dimensions=row.dimensions,
        splitting=Splitting(row.splitter, row.chunk_chars, row.overlap_chars),
        answering=AnsweringChoice(**(row.answering or {})),
        expires_at=row.expires_at,
    )


def _file_values(file: KnowledgeFile) -> dict[str, object]:
    failure = None if file.failure is None else {"code": file.failure.code, "facts": dict(file.failure.facts)}
    plain = {field.name: getattr(file, field.name) for field in dataclasses.fields(file)}
    return plain | {
        "name": file.name.value,
        "state": file.state.value,
        "failure": failure,
        "warnings": list(file.warnings),
        "fingerprint": None if file.fingerprint is None else f"{file.fingerprint:016x}",
    }


def _file(row: KnowledgeFileRecord) -> KnowledgeFile:
    return KnowledgeFile(
        id=FileId(row.id),
        knowledge_base_id=KnowledgeBaseId(row.knowledge_base_id),
        name=FileName(row.name),
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        version=row.version,
        state=FileState(row.state),
        created_at=row.created_at,
        modified_at=row.modified_at,
        chunk_count=row.chunk_count,
        failure=None if row.failure is None else FileFailure(**row.failure),
        warnings=tuple(row.warnings),
        loader=row.loader,
        splitter=row.splitter,
        fingerprint=None if row.fingerprint is None else int(row.fingerprint, 16),
    )


def chunk_values(chunk: Chunk) -> dict[str, object]:
    """The columns of a chunk."""
    return {
        "id": chunk.id,
        "knowledge_base_id": chunk.knowledge_base_id,
        "file_id": chunk.file_id,
        "version": chunk.version,
        "position": chunk.position,
        "text": chunk.text,
        "place": {field: value for field, value in dataclasses.asdict(chunk.place).items() if value not in (None, ())},
    }


def _chunk(row: ChunkRecord, file_name: str) -> Chunk:
    return Chunk(
        id=ChunkId(row.id),
        knowledge_base_id=KnowledgeBaseId(row.knowledge_base_id),
        file_id=FileId(row.file_id),
        file_name=FileName(file_name),
        version=row.version,
        position=row.position,
        text=row.text,
        place=place_of(row.place),
    )


def place_of(fields: PlaceFields) -> Place:
    """The place in a column."""
    return Place(
        page=fields.get("page"),
        sheet=fields.get("sheet"),
        row=fields.get("row"),
        last_row=fields.get("last_row"),
        heading=tuple(fields.get("heading", ())),
    )
