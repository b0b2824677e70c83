"""The repository of summaries of files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.domain.knowledge import FileId, FileSummary, KnowledgeBaseId
from services.api.storage.failures import STORE, conflicts
from services.api.storage.tables import FileSummaryRecord, KnowledgeFileRecord
from services.foundation.errors import FileNotInBase, StoreFailed


class SqlFileSummaries:
    """At most one for each file."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def save(self, summary: FileSummary) -> None:
        taken = StoreFailed(store=STORE, reason="one file has two summaries")
        await self._session.execute(delete(FileSummaryRecord).where(FileSummaryRecord.file_id == summary.file_id))
        with conflicts(taken=taken, absent=FileNotInBase(knowledge_base="", file=summary.file_id)):
            await self._session.execute(insert(FileSummaryRecord).values(dataclasses.asdict(summary)))

    async def of_base(self, base: KnowledgeBaseId) -> Mapping[FileId, FileSummary]:
        wanted = (
            select(FileSummaryRecord)
            .join(KnowledgeFileRecord, KnowledgeFileRecord.id == FileSummaryRecord.file_id)
            .where(
                KnowledgeFileRecord.knowledge_base_id == base, KnowledgeFileRecord.version == FileSummaryRecord.version
            )
        )
        return {FileId(row.file_id): _summary(row) for row in await self._session.scalars(wanted)}


def _summary(row: FileSummaryRecord) -> FileSummary:
    return FileSummary(
        file_id=FileId(row.file_id),
        version=row.version,
        text=row.text,
        model=row.model,
        is_quoted=row.is_quoted,
        created_at=row.created_at,
    )
