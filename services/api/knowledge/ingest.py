"""One file at a time: read → stage → index batch by batch → switch. Called by the knowledge service."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.api.domain.ingestion import IngestJob, Progress, Stage
from services.api.domain.knowledge import (
    Chunk,
    ChunkId,
    EmbeddedChunk,
    FileFailure,
    FileState,
    KnowledgeBase,
    KnowledgeFile,
    Parsed,
    Passage,
    SourceFile,
    SplitterChoice,
    Vector,
)
from services.api.domain.ports import Embedder, Parser, Storage, TextIndex, VectorStore
from services.foundation.errors import ChatchatError, EmbedderChanged, IngestAbandoned, Kind

log = logging.getLogger(__name__)
_RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
_PASSING = {Kind.UNAVAILABLE, Kind.OVERLOADED}
MOST_ATTEMPTS = 5
"""A file whose indexing ended the process so often is what ends it."""


@dataclass(frozen=True, slots=True)
class Indexes:
    """Where chunks go: text and truth, vectors, keywords."""

    storage: Storage
    vectors: VectorStore
    keywords: TextIndex


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """Bounds of the work."""

    parallel_files: int
    embed_batch: int


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for one file: where it lies, how it is cut, and who hears how far it has got."""

    source: SourceFile
    splitter: SplitterChoice
    report: Callable[[Progress], None] = lambda _: None


class Ingestor:
    """Makes files searchable. The old chunks of a file stay until the new ones can be found.

    What is done is kept as a job: the chunks are staged once the file is read, and marked as the indexes take them, so
    that whoever takes the job up again goes on where it stopped.
    """

    def __init__(self, indexes: Indexes, embedder: Embedder, parser: Parser, limits: IngestLimits) -> None:
        self._indexes = indexes
        self._embedder = embedder
        self._parser = parser
        self._limits = limits
        self._running = asyncio.Semaphore(limits.parallel_files)

    async def index(self, base: KnowledgeBase, file: KnowledgeFile, order: Order) -> KnowledgeFile:
        """Index one registered file and return its record as it now stands: INDEXED, or FAILED with the reason.

        This is one of the two kinds of edge where a failure is recorded instead of raised: per file.
        """
        order.report(Progress(Stage.WAITING))
        async with self._running:
            try:
                return await self._index(base, file, order)
            except ChatchatError as failure:
                log.warning("file %r of %r failed: %s", file.name.value, base.name.value, failure)
                return await self._failed(file, failure)
            except Exception as failure:
                log.exception("file %r of %r failed", file.name.value, base.name.value)
                return await self._failed(file, ChatchatError(reason=type(failure).__name__))

    async def preview(self, source: SourceFile, splitter: SplitterChoice) -> Parsed:
        """Read and cut a file, and leave it at that. Raises as `Parser.parse`."""
        async with self._running:
            return await self._parser.parse(source, splitter)

    async def cancel(self, file: KnowledgeFile) -> KnowledgeFile:
        """Take back what is left of a job that was given up; the record, CANCELLED."""
        await self._withdraw(file)
        cancelled = dataclasses.replace(file, state=FileState.CANCELLED, failure=None)
        async with self._indexes.storage.begin() as work:
            await work.files.save(cancelled)
        return cancelled

    async def _index(self, base: KnowledgeBase, file: KnowledgeFile, order: Order) -> KnowledgeFile:
        job = await self._begin(file, order.splitter)
        try:
            if not job.is_staged:
                job = await self._stage(file, job, order)
            await self._embed_staged(base, file, job, order)
            return await self._switch(file, job)
        except Exception:
            await self._withdraw(file)
            raise

    async def register(self, file: KnowledgeFile, splitter: SplitterChoice) -> None:
        """Remember that a file is to be indexed, and how; a job that a crash left for the same is kept as it is."""
        async with self._indexes.storage.begin() as work:
            known = await work.jobs.find(file.id)
        if known is None or (known.sha256, known.splitter) != (file.sha256, splitter):
            await self._withdraw(file)
            async with self._indexes.storage.begin() as work:
                await work.jobs.save(IngestJob(file.id, file.sha256, splitter))

    async def _begin(self, file: KnowledgeFile, splitter: SplitterChoice) -> IngestJob:
        async with self._indexes.storage.begin() as work:
            known = await work.jobs.find(file.id) or IngestJob(file.id, file.sha256, splitter)
            job = dataclasses.replace(known, attempt=known.attempt + 1)
            await work.jobs.save(job)
        if job.attempt > MOST_ATTEMPTS:
            await self._withdraw(file)
            raise IngestAbandoned(file=file.name.value, attempts=MOST_ATTEMPTS)
        return job

    async def _stage(self, file: KnowledgeFile, job: IngestJob, order: Order) -> IngestJob:
        """Read the file and keep its chunks, unseen. Until all are kept, none is indexed."""
        source = dataclasses.replace(
            order.source, report=lambda done, total: order.report(Progress(Stage.READING, done, total))
        )
        order.report(Progress(Stage.READING))
        parsed = await self._parser.parse(source, job.splitter)
        chunks = await asyncio.to_thread(make_chunks, file, parsed.passages)
        staged = dataclasses.replace(
            job,
            attempt=1,
            is_staged=True,
            warnings=parsed.warnings,
            loader=parsed.loader,
            splitter_class=parsed.splitter,
        )
        async with self._indexes.storage.begin() as work:
            await work.jobs.unstage(file.id)
            await work.jobs.stage(file.id, chunks)
            await work.jobs.save(staged)
        return staged

    async def _embed_staged(self, base: KnowledgeBase, file: KnowledgeFile, job: IngestJob, order: Order) -> None:
        """Index what is staged and not marked, batch by batch. An attempt that gets on is none that failed."""
        async with self._indexes.storage.begin() as work:
            total = len(await work.jobs.staged_ids(file.id))
            batch = await work.jobs.next_batch(file, limit=self._limits.embed_batch)
        order.report(Progress(Stage.INDEXING, 0, total))
        left = total
        while batch:
            await self._index_batch(base, batch)
            async with self._indexes.storage.begin() as work:
                await work.jobs.mark([chunk.id for chunk in batch])
                if left == total and job.attempt > 1:
                    await work.jobs.save(dataclasses.replace(job, attempt=1))
                left -= len(batch)
                batch = await work.jobs.next_batch(file, limit=self._limits.embed_batch)
            order.report(Progress(Stage.INDEXING, total - left if batch else total, total))

    async def _index_batch(self, base: KnowledgeBase, batch: Sequence[Chunk]) -> None:
        vectors = await self._embed(base.embedding_model, [chunk.indexed_text for chunk in batch])
        embedded = [
            EmbeddedChunk(chunk.id, vector) for chunk, vector in zip(batch, vectors, strict=True) if vector is not None
        ]
        if embedded:
            await self._check_dimensions(base, len(embedded[0].vector))
            await self._indexes.vectors.upsert(base.id, embedded)
        await self._indexes.keywords.upsert(batch)

    async def _embed(self, model: str, texts: Sequence[str]) -> list[Vector | None]:
        """Embed, waiting for a worker that is restarting or busy; other failures are raised at once."""
        for pause_seconds in _RETRY_SECONDS:
            try:
                return await self._embedder.embed_documents(model, texts)
            except ChatchatError as failure:
                if failure.kind not in _PASSING:
                    raise
                log.info("embedding waits %.1f s: %s", pause_seconds, failure)
            await asyncio.sleep(pause_seconds)
        return await self._embedder.embed_documents(model, texts)

    async def _check_dimensions(self, base: KnowledgeBase, actual: int) -> None:
        async with self._indexes.storage.begin() as work:
            known = await work.knowledge_bases.get(base.name)
            if known.dimensions is None:
                await work.knowledge_bases.update(dataclasses.replace(known, dimensions=actual))
            elif known.dimensions != actual:
                raise EmbedderChanged(
                    name=base.name.value, model=base.embedding_model, expected=known.dimensions, actual=actual
                )

    async def _switch(self, file: KnowledgeFile, job: IngestJob) -> KnowledgeFile:
        """Make the staged chunks the file's chunks in one commit, then drop what is stale from the indexes."""
        async with self._indexes.storage.begin() as work:
            before = await work.chunks.ids_of_file(file.id)
            kept = set(await work.jobs.staged_ids(file.id))
            indexed = dataclasses.replace(
                file,
                state=FileState.INDEXED,
                chunk_count=len(kept),
                failure=None,
                warnings=job.warnings,
                loader=job.loader,
                splitter=job.splitter_class,
            )
            await work.jobs.publish(file.id)
            await work.files.save(indexed)
        await self._drop(file, [chunk for chunk in before if chunk not in kept])
        return indexed

    async def _withdraw(self, file: KnowledgeFile) -> None:
        """Take back what was staged of a version that will not be: it would take candidates' places in every search."""
        try:
            async with self._indexes.storage.begin() as work:
                live = set(await work.chunks.ids_of_file(file.id))
                staged = await work.jobs.staged_ids(file.id)
            await self._drop(file, [chunk for chunk in staged if chunk not in live])
            async with self._indexes.storage.begin() as work:
                await work.jobs.remove(file.id)
        except ChatchatError as failure:
            log.warning("chunks of a failed version of %r stay in the indexes, unseen: %s", file.name.value, failure)

    async def _drop(self, file: KnowledgeFile, stale: Sequence[ChunkId]) -> None:
        if stale:
            await self._indexes.vectors.remove(file.knowledge_base_id, stale)
            await self._indexes.keywords.remove(file.knowledge_base_id, stale)

    async def _failed(self, file: KnowledgeFile, failure: ChatchatError) -> KnowledgeFile:
        record = FileFailure(failure.code, dict(failure.facts))
        failed = dataclasses.replace(file, state=FileState.FAILED, failure=record)
        async with self._indexes.storage.begin() as work:
            await work.files.save(failed)
        return failed


def make_chunks(file: KnowledgeFile, passages: Sequence[Passage]) -> list[Chunk]:
    """Tie passages to a file. Ids derive from base, file, content, position and text: twice the same gives the same."""
    return [
        Chunk(
            id=_chunk_id(file, position, passage),
            knowledge_base_id=file.knowledge_base_id,
            file_id=file.id,
            file_name=file.name,
            version=file.version,
            position=position,
            text=passage.text,
            place=passage.place,
        )
        for position, passage in enumerate(passages)
    ]


def _chunk_id(file: KnowledgeFile, position: int, passage: Passage) -> ChunkId:
    parts = (file.knowledge_base_id, file.id, file.sha256, str(position), passage.text)
    return ChunkId(hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest())
