"""The knowledge room joined from fakes, with a loader, an embedder and a storage that can be told to misbehave."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from services.api.domain.knowledge import Document, FileId, KnowledgeFile, Passage, Section, SourceFile, Vector
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.domain.ports import Loader, Splitter
from services.api.domain.retrieval import Query
from services.api.knowledge.consistency import Inspection, RepairMeans
from services.api.knowledge.files import ContentFolders
from services.api.knowledge.indexing import Indexer
from services.api.knowledge.ingest import Indexes, IngestLimits, Ingestor
from services.api.knowledge.maintenance import Maintenance
from services.api.knowledge.orders import Catalogue, NewKnowledgeBase, Upload
from services.api.knowledge.queue import Indexing, IndexQueue
from services.api.knowledge.retrieval.hybrid import HybridRetriever
from services.api.knowledge.service import KnowledgeService
from services.foundation.errors import UnreadableFile
from services.foundation.registry import Registry
from services.foundation.settings.tree import Choice, Knowledge, Retrieval
from tests.fakes.embedder import FakeEmbedder
from tests.fakes.jobs import MemoryStagedChunks
from tests.fakes.parser import InlineParser
from tests.fakes.storage import MemoryKnowledgeFiles, MemoryStorage, MemoryUnitOfWork
from tests.fakes.tables import Repository
from tests.fakes.text_index import MemoryTextIndex
from tests.fakes.vector_store import MemoryStore

BASE = KnowledgeBaseName("政策")
FILE = FileName("年假.txt")
LIMIT_BYTES = 1000
_PACKAGE = "tests.unit.api.knowledge"
LOADERS: Registry[Loader] = Registry("loader", _PACKAGE, {".txt": "workbench:LineLoader"})
SPLITTERS: Registry[Splitter] = Registry("splitter", _PACKAGE, {"lines": "workbench:LineSplitter"})


class LineLoader:
    """A section for each line. `!unreadable` and `!crash` in the first line fail the two ways a loader can."""

    extensions: ClassVar[frozenset[str]] = frozenset({".txt"})

    def load(self, file: SourceFile) -> Document:
        lines = file.path.read_text(encoding="utf-8").splitlines()
        if lines[0] == "!unreadable":
            raise UnreadableFile(file=file.name.value, reason="it is torn")
        if lines[0] == "!crash":
            raise ZeroDivisionError
        return Document(tuple(Section(line) for line in lines if line.strip()), warnings=("page 2 holds no text",))


class LineSplitter:
    """A passage for each section."""

    def __init__(self, **_: object) -> None:
        pass

    def split(self, document: Document) -> list[Passage]:
        return [Passage(section.text, section.place) for section in document.sections]


class ScriptedEmbedder(FakeEmbedder):
    """Raises the `failures` first, one a call; then waits for `gate`, saying through `reached` that it does."""

    def __init__(self, *, dimensions: int = 64, unreadable_share: float = 0.0) -> None:
        super().__init__(dimensions=dimensions, unreadable_share=unreadable_share)
        self.failures: list[BaseException | None] = []
        self.gate: asyncio.Event | None = None
        self.reached = asyncio.Event()
        self.calls: list[int] = []

    async def embed_documents(self, model: str, texts: Sequence[str]) -> list[Vector | None]:
        self.calls.append(len(texts))
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure
        if self.gate is not None:
            self.reached.set()
            await self.gate.wait()
        return await super().embed_documents(model, texts)


class Crash(BaseException):
    """The death of the process: nothing that catches failures catches it."""


class FragileStorage(MemoryStorage):
    """Raises `failure` where a file's chunks are to be switched, `record_failure` where its record is to be saved."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: BaseException | None = None
        self.record_failure: BaseException | None = None

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[MemoryUnitOfWork]:
        async with super().begin() as work:
            if self.failure is not None:
                work.staged = _FragileChunks(work, self.failure)
            if self.record_failure is not None:
                work.files = _FragileFiles(work, self.record_failure)
            yield work


class _Fragile(Repository):
    def __init__(self, work: MemoryUnitOfWork, failure: BaseException) -> None:
        super().__init__(work.transaction)
        self._failure = failure


class _FragileFiles(_Fragile, MemoryKnowledgeFiles):
    async def save(self, file: KnowledgeFile) -> None:
        raise self._failure


class _FragileChunks(_Fragile, MemoryStagedChunks):
    async def publish(self, file: FileId) -> None:
        raise self._failure


@dataclass(frozen=True)
class Workbench:
    """The room and the fakes it stands on."""

    root: Path
    indexes: Indexes
    storage: FragileStorage
    embedder: ScriptedEmbedder
    parser: InlineParser
    folders: ContentFolders
    service: KnowledgeService
    indexer: Indexer
    retriever: HybridRetriever
    maintenance: Maintenance
    inspection: Inspection
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Have what is put in line indexed from now on, until the indexer dies or `stop` is called."""
        self.tasks.append(asyncio.create_task(self.indexer.run()))

    async def stop(self) -> None:
        """Stop what `start` started."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        await self.indexer.stop()
        await self.service.stop()

    async def death(self, work: Coroutine[object, object, object]) -> None:
        """Begin some work, and wait for the indexer to die of it, which raises Crash; then start no other."""
        begun = asyncio.ensure_future(work)
        await asyncio.wait(self.tasks, timeout=10)
        begun.cancel()
        await asyncio.gather(begun, return_exceptions=True)
        await self.service.stop()
        died = self.tasks.pop()
        assert died.done()
        died.result()

    async def resume(self) -> None:
        """Take up again what a crash interrupted, and index until nothing is left to."""
        await self.service.resume()
        await self.indexer.drain()

    async def create(self, name: KnowledgeBaseName = BASE) -> None:
        await self.service.create(NewKnowledgeBase(name))

    async def add(
        self, text: str, file: FileName = FILE, *, base: KnowledgeBaseName = BASE, replace: bool = False
    ) -> KnowledgeFile:
        """The record of a file after it was uploaded and indexed."""
        upload = Upload(file, io.BytesIO(text.encode()), replace=replace)
        return await self.service.add_file(base, upload)

    async def found(self, text: str, *, base: KnowledgeBaseName = BASE, top_k: int = 50) -> list[str]:
        """The texts found, best first."""
        query = Query(text, (await self.service.get(base),), top_k)
        return [hit.chunk.text for hit in (await self.retriever.retrieve(query)).hits]

    async def indexed(self, base: KnowledgeBaseName = BASE) -> tuple[set[str], set[str], set[str]]:
        """The chunk ids that the database, the vector store and the keyword index hold."""
        known = await self.service.get(base)
        async with self.storage.begin() as work:
            ids = await work.chunks.ids_of_base(known.id)
        return set(ids), set(await self.indexes.vectors.ids(known.id)), set(await self.indexes.keywords.ids(known.id))

    def lay(self, text: str, file: FileName = FILE, *, base: KnowledgeBaseName = BASE) -> None:
        """Put a file into the base's folder behind the service's back."""
        self.folders.make(base)
        self.folders.path(base, file).write_text(text, encoding="utf-8")


def workbench(
    root: Path,
    *,
    embedder: ScriptedEmbedder | None = None,
    storage: FragileStorage | None = None,
    beside: Indexes | None = None,
    holder: str = "indexer",
) -> Workbench:
    """Build the room over `root`; `beside`: with the vectors and keywords of these indexes."""
    kept = storage or FragileStorage()
    speaks = embedder or ScriptedEmbedder()
    vectors, keywords = (beside.vectors, beside.keywords) if beside else (MemoryStore(), MemoryTextIndex())
    indexes = Indexes(kept, vectors, keywords)
    folders, parser = ContentFolders(root, LIMIT_BYTES), InlineParser(LOADERS, SPLITTERS)
    limits = IngestLimits(parallel_files=2, embed_batch=2)
    catalogue = Catalogue(["embed-a", "embed-b"], "embed-a", ["memory", "other"], SPLITTERS, list(LOADERS))
    settings = Knowledge(splitter=Choice(name="lines"), vector_store=Choice(name="memory"))
    ingestor = Ingestor(indexes, speaks, parser, limits)
    indexer = Indexer(indexes, ingestor, folders, holder=holder, parallel_files=2)
    indexing = Indexing(IndexQueue(kept, f"{holder}'s service"), ingestor)
    service = KnowledgeService(indexes, folders, indexing, catalogue, settings)
    retriever = HybridRetriever(indexes, speaks, Retrieval(candidates=50))
    maintenance = Maintenance(service, folders)
    inspection = Inspection(indexes, folders, service, RepairMeans(speaks, 2, owns_vectors=True, extensions=[".txt"]))
    return Workbench(root, indexes, kept, speaks, parser, folders, service, indexer, retriever, maintenance, inspection)
