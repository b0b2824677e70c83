"""A Storage in memory. Runs the same contract as the real one."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from datetime import datetime

from services.api.domain.conversation import Conversation, ConversationId, Turn
from services.api.domain.knowledge import Chunk, ChunkId, FileId, KnowledgeBase, KnowledgeBaseId, KnowledgeFile, Place
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.domain.ports import (
    Chunks,
    Conversations,
    FileSummaries,
    IngestJobs,
    KnowledgeBases,
    KnowledgeFiles,
    StagedChunks,
    StaleChunks,
)
from services.foundation.errors import (
    ConversationNotFound,
    FileExists,
    FileNotInBase,
    KnowledgeBaseExists,
    KnowledgeBaseNotFound,
    StoreFailed,
)
from tests.fakes.jobs import MemoryIngestJobs, MemoryStagedChunks, MemoryStaleChunks
from tests.fakes.summaries import MemoryFileSummaries
from tests.fakes.tables import Repository, Tables, Transaction, without_nulls


class MemoryKnowledgeBases(Repository):
    async def add(self, base: KnowledgeBase) -> None:
        def change(tables: Tables) -> None:
            if base.id in tables.bases or any(other.name.key == base.name.key for other in tables.bases.values()):
                raise KnowledgeBaseExists(name=base.name.value)
            tables.bases[base.id] = base

        self._transaction.change(change)

    async def get(self, name: KnowledgeBaseName) -> KnowledgeBase:
        for base in self._tables.bases.values():
            if base.name.key == name.key:
                return base
        raise KnowledgeBaseNotFound(name=name.value)

    async def find(self, base: KnowledgeBaseId) -> KnowledgeBase | None:
        return self._tables.bases.get(base)

    async def all(self) -> list[KnowledgeBase]:
        return [base for base in self._sorted() if base.expires_at is None]

    async def temporary(self) -> list[KnowledgeBase]:
        return [base for base in self._sorted() if base.expires_at is not None]

    def _sorted(self) -> list[KnowledgeBase]:
        return sorted(self._tables.bases.values(), key=lambda base: base.name.key)

    async def renew(self, base: KnowledgeBaseId, *, now: datetime, until: datetime) -> KnowledgeBase | None:
        known = self._tables.bases.get(base)
        if known is None or known.expires_at is None or known.expires_at <= now:
            return None

        def change(tables: Tables) -> None:
            if base in tables.bases:
                tables.bases[base] = dataclasses.replace(tables.bases[base], expires_at=until)

        self._transaction.change(change)
        return self._tables.bases[base]

    async def update(self, base: KnowledgeBase) -> None:
        def change(tables: Tables) -> None:
            if base.id not in tables.bases:
                raise KnowledgeBaseNotFound(name=base.name.value)
            if any(other.name.key == base.name.key and other.id != base.id for other in tables.bases.values()):
                raise KnowledgeBaseExists(name=base.name.value)
            tables.bases[base.id] = dataclasses.replace(base, expires_at=tables.bases[base.id].expires_at)

        self._transaction.change(change)

    async def remove(self, base: KnowledgeBaseId) -> None:
        def change(tables: Tables) -> None:
            tables.bases.pop(base, None)
            tables.sweep()

        self._transaction.change(change)


class MemoryKnowledgeFiles(Repository):
    async def save(self, file: KnowledgeFile) -> None:
        def change(tables: Tables) -> None:
            if file.knowledge_base_id not in tables.bases:
                raise KnowledgeBaseNotFound(name=file.knowledge_base_id)
            named = (file.knowledge_base_id, file.name)
            if any((f.knowledge_base_id, f.name) == named and f.id != file.id for f in tables.files.values()):
                raise FileExists(file=file.name.value)
            tables.files[file.id] = file

        self._transaction.change(change)

    async def find(self, base: KnowledgeBaseId, name: FileName) -> KnowledgeFile | None:
        return next((file for file in await self.of_base(base) if file.name == name), None)

    async def get(self, file: FileId) -> KnowledgeFile | None:
        return self._tables.files.get(file)

    async def of_base(self, base: KnowledgeBaseId) -> list[KnowledgeFile]:
        found = [file for file in self._tables.files.values() if file.knowledge_base_id == base]
        return sorted(found, key=lambda file: file.name)

    async def remove(self, file: FileId) -> None:
        def change(tables: Tables) -> None:
            tables.files.pop(file, None)
            tables.sweep()

        self._transaction.change(change)

    async def counts(self) -> Mapping[KnowledgeBaseId, int]:
        return Counter(file.knowledge_base_id for file in self._tables.files.values())


class MemoryChunks(Repository):
    async def replace(self, file: KnowledgeFile, chunks: Sequence[Chunk]) -> None:
        def change(tables: Tables) -> None:
            if chunks and file.id not in tables.files:
                raise FileNotInBase(knowledge_base=file.knowledge_base_id, file=file.name.value)
            tables.chunks = {id_: chunk for id_, chunk in tables.chunks.items() if chunk.file_id != file.id}
            for chunk in chunks:
                if chunk.id in tables.chunks:
                    raise StoreFailed(store="metadata database", reason="two chunks have one id")
                tables.chunks[chunk.id] = without_nulls(chunk)

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

    async def around(self, file: FileId, position: int, *, reach: int) -> list[Chunk]:
        return [chunk for chunk in await self.of_file(file) if abs(chunk.position - position) <= reach]

    async def places(self, base: KnowledgeBaseId, files: Set[FileId]) -> Mapping[ChunkId, Place]:
        held = (chunk for chunk in self._tables.chunks.values() if chunk.knowledge_base_id == base)
        return {chunk.id: chunk.place for chunk in held if chunk.file_id in files}


class MemoryConversations(Repository):
    async def open(self, conversation: Conversation) -> None:
        def change(tables: Tables) -> None:
            if conversation.id in tables.conversations:
                raise StoreFailed(store="metadata database", reason="a conversation of that id exists already")
            tables.conversations[conversation.id] = without_nulls(conversation)

        self._transaction.change(change)

    async def get(self, id: ConversationId) -> Conversation:  # noqa: A002
        if id not in self._tables.conversations:
            raise ConversationNotFound(id=id)
        return self._tables.conversations[id]

    async def of_owner(self, owner: str) -> list[Conversation]:
        found = [thread for thread in self._tables.conversations.values() if thread.owner == owner]
        return sorted(found, key=lambda thread: thread.updated_at, reverse=True)

    async def remove(self, id: ConversationId) -> None:  # noqa: A002
        def change(tables: Tables) -> None:
            tables.conversations.pop(id, None)
            tables.sweep()

        self._transaction.change(change)

    async def add_turn(self, turn: Turn) -> None:
        def change(tables: Tables) -> None:
            if turn.conversation_id is not None:
                thread = tables.conversations.get(turn.conversation_id)
                if thread is None:
                    raise ConversationNotFound(id=turn.conversation_id)
                tables.conversations[thread.id] = dataclasses.replace(thread, updated_at=turn.created_at)
            if turn.id in tables.turns:
                raise StoreFailed(store="metadata database", reason="a turn of that id exists already")
            tables.turns[turn.id] = without_nulls(turn)

        self._transaction.change(change)

    async def restore(self, turns: Sequence[Turn]) -> int:
        fresh = [turn for turn in {turn.id: turn for turn in turns}.values() if turn.id not in self._tables.turns]
        before = dict(self._tables.conversations)
        for turn in fresh:
            await self.add_turn(turn)

        def change(tables: Tables) -> None:
            for thread in tables.conversations.values():
                spoken_at = max(thread.updated_at, before.get(thread.id, thread).updated_at)
                tables.conversations[thread.id] = dataclasses.replace(thread, updated_at=spoken_at)

        self._transaction.change(change)
        return len(fresh)

    async def turns(self, id: ConversationId) -> list[Turn]:  # noqa: A002
        return [turn for turn in self._tables.turns.values() if turn.conversation_id == id]


class MemoryUnitOfWork:
    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.knowledge_bases: KnowledgeBases = MemoryKnowledgeBases(transaction)
        self.files: KnowledgeFiles = MemoryKnowledgeFiles(transaction)
        self.chunks: Chunks = MemoryChunks(transaction)
        self.jobs: IngestJobs = MemoryIngestJobs(transaction)
        self.staged: StagedChunks = MemoryStagedChunks(transaction)
        self.stale: StaleChunks = MemoryStaleChunks(transaction)
        self.summaries: FileSummaries = MemoryFileSummaries(transaction)
        self.conversations: Conversations = MemoryConversations(transaction)


class MemoryStorage:
    def __init__(self) -> None:
        self._committed = Tables()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[MemoryUnitOfWork]:
        transaction = Transaction(self._committed)
        yield MemoryUnitOfWork(transaction)
        for change in transaction.changes:
            change(self._committed)

    async def start(self) -> None:
        """Nothing is to be opened."""

    async def stop(self) -> None:
        """Nothing is to be closed."""
