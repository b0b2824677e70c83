"""Summaries of files in memory."""

from __future__ import annotations

from collections.abc import Mapping

from services.api.domain.knowledge import FileId, FileSummary, KnowledgeBaseId
from services.foundation.errors import FileNotInBase
from tests.fakes.tables import Repository, Tables


class MemoryFileSummaries(Repository):
    async def save(self, summary: FileSummary) -> None:
        def change(tables: Tables) -> None:
            if summary.file_id not in tables.files:
                raise FileNotInBase(knowledge_base="", file=summary.file_id)
            tables.summaries[summary.file_id] = summary

        self._transaction.change(change)

    async def of_base(self, base: KnowledgeBaseId) -> Mapping[FileId, FileSummary]:
        files = [file for file in self._tables.files.values() if file.knowledge_base_id == base]
        kept = {file.id: self._tables.summaries[file.id] for file in files if file.id in self._tables.summaries}
        return {file.id: kept[file.id] for file in files if file.id in kept and kept[file.id].version == file.version}
