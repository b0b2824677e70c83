"""A Storage in memory. Runs the same contract as the real one."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from services.api.domain.conversation import Conversation, ConversationId, Turn
from services.api.domain.ingestion import IngestJob
from services.api.domain.knowledge import Chunk, ChunkId, FileId, KnowledgeBase, KnowledgeBaseId, KnowledgeFile
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.domain.ports import Chunks, Conversations, IngestJobs, KnowledgeBases, KnowledgeFiles
from services.foundation.errors import (
    ConversationNotFound,
    FileExists,
    FileNotInBase,
    KnowledgeBaseExists,
    KnowledgeBaseNotFound,
    StoreFailed,
)


@dataclass
class _Tables:
    bases: dict[str, KnowledgeBase] = field(default_factory=dict)
    files: dict[str, KnowledgeFile] = field(default_factory=dict)
    chunks: dict[str, Chunk] = field(default_factory=dict)
    jobs: dict[str, IngestJob] = field(default_factory=dict)
    staged: dict[str, tuple[Chunk, bool]] = field(default_factory=dict)
    conversations: dict[str, Conversation] = field(default_factory=dict)
    turns: dict[str, Turn] = field(default_factory=dict)

    def sweep(self) -> None:
        """Drop what belongs to nothing any more."""
        self.files = {id_: file for id_, file in self.files.items() if file.knowledge_base_id in self.bases}
        self.chunks = {id_: chunk for id_, chunk in self.chunks.items() if chunk.file_id in self.files}
        self.jobs = {id_: job for id_, job in self.jobs.items() if id_ in self.files}
        self.staged = {id_: kept for id_, kept in self.staged.items() if kept[0].file_id in self.files}
        self.turns = {
            id_: turn
            for id_, turn in self.turns.items()
            if turn.conversation_id is None or turn.conversation_id in self.conversations
        }


Change = Callable[[_Tables], None]


class _Transaction:
    """Sees its own changes at once; others see them when they are repeated at the commit."""

    def __init__(self, committed: _Tables) -> None:
        self.tables = copy.copy(committed)
        for table in dataclasses.fields(_Tables):
            setattr(self.tables, table.name, dict(getattr(committed, table.name)))
        self.changes: list[Change] = []

    def change(self, change: Change) -> None:
        change(self.tables)
        self.changes.append(change)


class _Repository:
    def __init__(self, transaction: _Transaction) -> None:
        self._transaction = transaction

    @property
    def _tables(self) -> _Tables:
        return self._transaction.tables


class MemoryKnowledgeBases(_Repository):
    async def add(self, base: KnowledgeBase) -> None:
        def change(tables: _Tables) -> None:
            if base.id in tables.bases or any(other.name.key == base.name.key for other in tables.bases.values()):
                raise KnowledgeBaseExists(name=base.name.value)
            tables.bases[base.id] = base

        self._transaction.change(change)

    async def get(self, name: KnowledgeBaseName) -> KnowledgeBase:
        for base in self._tables.bases.values():
            if base.name.key == name.key:
                return base
        raise KnowledgeBaseNotFound(name=name.value)

    async def all(self) -> list[KnowledgeBase]:
        return sorted(self._tables.bases.values(), key=lambda base: base.name.key)

    async def update(self, base: KnowledgeBase) -> None:
        def change(tables: _Tables) -> None:
            if base.id not in tables.bases:
                raise KnowledgeBaseNotFound(name=base.name.value)
            if any(other.name.key == base.name.key and other.id != base.id for other in tables.bases.values()):
                raise KnowledgeBaseExists(name=base.name.value)
            tables.bases[base.id] = base

        self._transaction.change(change)

    async def remove(self, base: KnowledgeBaseId) -> None:
        def change(tables: _Tables) -> None:
            tables.bases.pop(base, None)
            tables.sweep()

        self._transaction.change(change)


class MemoryKnowledgeFiles(_Repository):
    async def save(self, file: KnowledgeFile) -> None:
        def change(tables: _Tables) -> None:
            if file.knowledge_base_id not in tables.bases:
                raise KnowledgeBaseNotFound(name=file.knowledge_base_id)
            named = (file.knowledge_base_id, file.name)
            if any((f.knowledge_base_id, f.name) == named and f.id != file.id for f in tables.files.values()):
                raise FileExists(file=file.name.value)
            tables.files[file.id] = file

        self._transaction.change(change)

    async def find(self, base: KnowledgeBaseId, name: FileName) -> KnowledgeFile | None:
        return next((file for file in await self.of_base(base) if file.name == name), None)

    async def of_base(self, base: KnowledgeBaseId) -> list[KnowledgeFile]:
        found = [file for file in self._tables.files.values() if file.knowledge_base_id == base]
        return sorted(found, key=lambda file: file.name)

    async def remove(self, file: FileId) -> None:
        def change(tables: _Tables) -> None:
            tables.files.pop(file, None)
            tables.sweep()

        self._transaction.change(change)

    async def counts(self) -> Mapping[KnowledgeBaseId, int]:
        return Counter(file.knowledge_base_id for file in self._tables.files.values())


class MemoryChunks(_Repository):
    async def replace(self, file: KnowledgeFile, chunks: Sequence[Chunk]) -> None:
        def change(tables: _Tables) -> None:
            if chunks and file.id not in tables.files:
                raise FileNotInBase(knowledge_base=file.knowledge_base_id, file=file.name.value)
            tables.chunks = {id_: chunk for id_, chunk in tables.chunks.items() if chunk.file_id != file.id}
            for chunk in chunks:
                if chunk.id in tables.chunks:
                    raise StoreFailed(store="metadata database", reason="two chunks have one id")
                tables.chunks[chunk.id] = chunk

        self._transaction.change(change)

    async def fetch(self, base: KnowledgeBaseId, ids: Sequence[ChunkId]) -> list[Chunk]:
        found = [self._tables.chunks[id_] for id_ in dict.fromkeys(ids) if id_ in self._tables.chunks]
        return [chunk for chunk in found if chunk.knowledge_base_id == base]

    async def ids_of_file(self, file: FileId) -> list[ChunkId]:
        return [chunk.id for chunk in await self.of_file(file)]

    async def ids_of_base(self, base: KnowledgeBaseId) -> set[ChunkId]:
        return {chunk.id for chunk in self._tables.chunks.values() if chunk.knowledge_base_id == base}

    async def of_file(self, file: FileId) -> list[Chunk]:
        found = [chunk for chunk in self._tables.chunks.values() if chunk.file_id == file]
        return sorted(found, key=lambda chunk: chunk.position)


class MemoryIngestJobs(_Repository):
    async def find(self, file: FileId) -> IngestJob | None:
        return self._tables.jobs.get(file)

    async def save(self, job: IngestJob) -> None:
        def change(tables: _Tables) -> None:
            if job.file_id not in tables.files:
                raise FileNotInBase(knowledge_base="", file=job.file_id)
            tables.jobs[job.file_id] = job

        self._transaction.change(change)

    async def stage(self, file: FileId, chunks: Sequence[Chunk]) -> None:
        def change(tables: _Tables) -> None:
            if chunks and file not in tables.files:
                raise FileNotInBase(knowledge_base="", file=file)
            for chunk in chunks:
                if chunk.id in tables.staged:
                    raise StoreFailed(store="metadata database", reason="two chunks have one id")
                tables.staged[chunk.id] = (chunk, False)

        self._transaction.change(change)

    async def next_batch(self, file: KnowledgeFile, *, limit: int) -> list[Chunk]:
        waiting = [chunk for chunk, is_indexed in self._of(file.id) if not is_indexed]
        return [dataclasses.replace(chunk, file_name=file.name) for chunk in waiting[:limit]]

    async def mark(self, ids: Sequence[ChunkId]) -> None:
        def change(tables: _Tables) -> None:
            tables.staged |= {id_: (tables.staged[id_][0], True) for id_ in ids if id_ in tables.staged}

        self._transaction.change(change)

    async def staged_ids(self, file: FileId) -> list[ChunkId]:
        return [chunk.id for chunk, _ in self._of(file)]

    async def publish(self, file: FileId) -> None:
        def change(tables: _Tables) -> None:
            staged = [chunk for chunk, _ in tables.staged.values() if chunk.file_id == file]
            tables.chunks = {id_: chunk for id_, chunk in tables.chunks.items() if chunk.file_id != file}
            tables.chunks |= {chunk.id: chunk for chunk in staged}
            _forget(tables, file)

        self._transaction.change(change)

    async def unstage(self, file: FileId) -> None:
        def change(tables: _Tables) -> None:
            tables.staged = {id_: kept for id_, kept in tables.staged.items() if kept[0].file_id != file}

        self._transaction.change(change)

    async def remove(self, file: FileId) -> None:
        self._transaction.change(lambda tables: _forget(tables, file))

    def _of(self, file: FileId) -> list[tuple[Chunk, bool]]:
        found = [kept for kept in self._tables.staged.values() if kept[0].file_id == file]
        return sorted(found, key=lambda kept: kept[0].position)


def _forget(tables: _Tables, file: FileId) -> None:
    tables.jobs.pop(file, None)
    tables.staged = {id_: kept for id_, kept in tables.staged.items() if kept[0].file_id != file}


class MemoryConversations(_Repository):
    async def open(self, conversation: Conversation) -> None:
        def change(tables: _Tables) -> None:
            if conversation.id in tables.conversations:
                raise StoreFailed(store="metadata database", reason="a conversation of that id exists already")
            tables.conversations[conversation.id] = conversation

        self._transaction.change(change)

    async def get(self, id: ConversationId) -> Conversation:  # noqa: A002
        if id not in self._tables.conversations:
            raise ConversationNotFound(id=id)
        return self._tables.conversations[id]

    async def of_owner(self, owner: str) -> list[Conversation]:
        found = [thread for thread in self._tables.conversations.values() if thread.owner == owner]
        return sorted(found, key=lambda thread: thread.updated_at, reverse=True)

    async def remove(self, id: ConversationId) -> None:  # noqa: A002
        def change(tables: _Tables) -> None:
            tables.conversations.pop(id, None)
            tables.sweep()

        self._transaction.change(change)

    async def add_turn(self, turn: Turn) -> None:
        def change(tables: _Tables) -> None:
            if turn.conversation_id is not None:
                thread = tables.conversations.get(turn.conversation_id)
                if thread is None:
                    raise ConversationNotFound(id=turn.conversation_id)
                tables.conversations[thread.id] = dataclasses.replace(thread, updated_at=turn.created_at)
            if turn.id in tables.turns:
                raise StoreFailed(store="metadata database", reason="a turn of that id exists already")
            tables.turns[turn.id] = turn

        self._transaction.change(change)

    async def turns(self, id: ConversationId) -> list[Turn]:  # noqa: A002
        return [turn for turn in self._tables.turns.values() if turn.conversation_id == id]


class MemoryUnitOfWork:
    def __init__(self, transaction: _Transaction) -> None:
        self.transaction = transaction
        self.knowledge_bases: KnowledgeBases = MemoryKnowledgeBases(transaction)
        self.files: KnowledgeFiles = MemoryKnowledgeFiles(transaction)
        self.chunks: Chunks = MemoryChunks(transaction)
        self.jobs: IngestJobs = MemoryIngestJobs(transaction)
        self.conversations: Conversations = MemoryConversations(transaction)


class MemoryStorage:
    def __init__(self) -> None:
        self._committed = _Tables()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[MemoryUnitOfWork]:
        transaction = _Transaction(self._committed)
        yield MemoryUnitOfWork(transaction)
        for change in transaction.changes:
            change(self._committed)

    async def start(self) -> None:
        """Nothing is to be opened."""

    async def stop(self) -> None:
        """Nothing is to be closed."""
