"""What a Storage in memory keeps, and a transaction over it. Used by the repositories beside."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from services.api.domain.conversation import Conversation, Turn
from services.api.domain.ingestion import IngestJob, Progress, Stage
from services.api.domain.knowledge import Chunk, FileSummary, KnowledgeBase, KnowledgeBaseId, KnowledgeFile


@dataclass(frozen=True)
class JobRow:
    """A job with what is not part of it: who holds it, and how far it is."""

    job: IngestJob
    number: int
    hold: tuple[str, datetime] | None = None
    asked_by: str = ""
    progress: Progress = field(default_factory=lambda: Progress(Stage.WAITING))

    @property
    def is_free(self) -> bool:
        return self.hold is None or self.hold[1] < datetime.now(UTC)

    @property
    def holder(self) -> str | None:
        return None if self.hold is None else self.hold[0]


@dataclass
class Tables:
    bases: dict[str, KnowledgeBase] = field(default_factory=dict)
    files: dict[str, KnowledgeFile] = field(default_factory=dict)
    chunks: dict[str, Chunk] = field(default_factory=dict)
    jobs: dict[str, JobRow] = field(default_factory=dict)
    staged: dict[str, tuple[Chunk, bool]] = field(default_factory=dict)
    stale: dict[str, KnowledgeBaseId] = field(default_factory=dict)
    summaries: dict[str, FileSummary] = field(default_factory=dict)
    conversations: dict[str, Conversation] = field(default_factory=dict)
    turns: dict[str, Turn] = field(default_factory=dict)

    def sweep(self) -> None:
        """Drop what belongs to nothing any more."""
        self.files = {id_: file for id_, file in self.files.items() if file.knowledge_base_id in self.bases}
        self.chunks = {id_: chunk for id_, chunk in self.chunks.items() if chunk.file_id in self.files}
        self.jobs = {id_: job for id_, job in self.jobs.items() if id_ in self.files}
        self.staged = {id_: kept for id_, kept in self.staged.items() if kept[0].file_id in self.files}
        self.summaries = {id_: summary for id_, summary in self.summaries.items() if id_ in self.files}
        self.turns = {
            id_: turn
            for id_, turn in self.turns.items()
            if turn.conversation_id is None or turn.conversation_id in self.conversations
        }


T = TypeVar("T", Chunk, Conversation, Turn)


def without_nulls(row: T) -> T:
    """A row as a database keeps it: PostgreSQL's texts have no null characters."""
    texts = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    plain: dict[str, Any] = {name: text.replace("\0", "") for name, text in texts.items() if isinstance(text, str)}
    return dataclasses.replace(row, **plain)


Change = Callable[[Tables], None]


class Transaction:
    """Sees its own changes at once; others see them when they are repeated at the commit."""

    def __init__(self, committed: Tables) -> None:
        self.tables = copy.copy(committed)
        for table in dataclasses.fields(Tables):
            setattr(self.tables, table.name, dict(getattr(committed, table.name)))
        self.changes: list[Change] = []

    def change(self, change: Change) -> None:
        change(self.tables)
        self.changes.append(change)


class Repository:
    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    @property
    def _tables(self) -> Tables:
        return self._transaction.tables
