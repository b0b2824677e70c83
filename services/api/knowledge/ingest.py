"""One file at a time: read → stage → index batch by batch → switch. Called by the indexer."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.api.domain.ingestion import IngestJob, JobLost, Progress, Stage
from services.api.domain.knowledge import (
    Chunk,
    ChunkId,
    EmbeddedChunk,
    FileFailure,
    FileState,
    KnowledgeBase,
    KnowledgeBaseId,
    KnowledgeFile,
    Parsed,
    Passage,
    SourceFile,
    SplitterChoice,
    Vector,
)
from services.api.domain.ports import Embedder, Parser, Storage, TextIndex, UnitOfWork, VectorStore
from services.api.knowledge.fingerprint import fingerprint
from services.foundation.errors import ChatchatError, EmbedderChanged, IngestAbandoned, Kind

R = TypeVar("R")

log = logging.getLogger(__name__)
_RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
_PASSING = {Kind.UNAVAILABLE, Kind.OVERLOADED}
_STAGED_PER_COMMIT = 2000
_STALE_PER_BATCH = 1000
_FINGERPRINTED_CHUNKS = 5000
MOST_ATTEMPTS = 5
"""A file whose indexing ended the process so often is what ends it."""


@dataclass(frozen=True, slots=True)
class Indexes:
    """Where chunks go: text and truth, vectors, keywords."""

    storage: Storage
    vectors: VectorStore
    keywords: TextIndex

    async def drop(self, base: KnowledgeBaseId) -> None:
        """Have both indexes forget all of a base."""
        await self.vectors.drop(base)
        await self.keywords.drop(base)


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """Bounds of the work."""

    parallel_files: int
    embed_batch: int


@dataclass(frozen=True, slots=True)
class Work:
    """A job that is held, and what it is about.

    Attributes:
        base, file: the records.
        job: as it was claimed.
        holder: of the job, without whom nothing of it may change.
        report: hears how far it has got.
    """

    base: KnowledgeBase
    file: KnowledgeFile
    job: IngestJob
    holder: str
    report: Callable[[Progress], None] = lambda _: None


class Ingestor:
    """Makes files searchable. The old chunks of a file stay until the new ones can be found.

    What is done is kept in the job: the chunks are staged once the file is read, and marked as the indexes take them,
    so that whoever takes the job up again goes on where it stopped.
    """

    def __init__(self, indexes: Indexes, embedder: Embedder, parser: Parser, limits: IngestLimits) -> None:
        self._indexes = indexes
        self._embedder = embedder
        self._parser = parser
        self._limits = limits
        self._previews = asyncio.Semaphore(limits.parallel_files)

    async def preview(self, source: SourceFile, splitter: SplitterChoice) -> Parsed:
        """Read and cut a file, and leave it at that. Raises as `Parser.parse`."""
        async with self._previews:
            return await self._parser.parse(source, splitter)

    async def index(self, work: Work, source: SourceFile) -> None:
        """Do a job to its end: the file is INDEXED, or FAILED and its record says why.

        This is one of the two kinds of edge where a failure is recorded instead of raised: per file.

        Raises:
            JobLost: somebody else has the job, or nobody wants it done; what was done of it stays as it is.
        """
        try:
            await self._index(work, source)
        except JobLost:
            raise
        except ChatchatError as failure:
            log.warning("file %r of %r failed: %s", work.file.name.value, work.base.name.value, failure)
            await self.fail(work, failure)
        except Exception as failure:
            log.exception("file %r of %r failed", work.file.name.value, work.base.name.value)
            await self.fail(work, ChatchatError(reason=type(failure).__name__))

    async def _index(self, work: Work, source: SourceFile) -> None:
        if work.job.attempt > MOST_ATTEMPTS:
            raise IngestAbandoned(file=work.file.name.value, attempts=MOST_ATTEMPTS)
        staged = work if work.job.is_staged else await self._stage(work, source)
        await self._embed_staged(staged)
        await self._switch(staged)

    async def _stage(self, work: Work, source: SourceFile) -> Work:
        """Read the file and keep its chunks, unseen. Until all are kept, none is indexed."""
        work.report(Progress(Stage.READING))
        heard = dataclasses.replace(
            source, report=lambda done, total: work.report(Progress(Stage.READING, done, total))
        )
        parsed = await self._parser.parse(heard, work.job.splitter)
        chunks = await asyncio.to_thread(make_chunks, work.file, parsed.passages)
        job = dataclasses.replace(
            work.job,
            attempt=1,
            is_staged=True,
            warnings=parsed.warnings,
            loader=parsed.loader,
            splitter_class=parsed.splitter,
        )
        async with self._indexes.storage.begin() as unit:
            await unit.jobs.save(work.job, work.holder)
            await unit.staged.remove(work.file.id)
        for at in range(0, len(chunks), _STAGED_PER_COMMIT):  # others write in between
            part = chunks[at : at + _STAGED_PER_COMMIT]
            async with self._indexes.storage.begin() as unit:
                await unit.jobs.save(work.job, work.holder)
                await unit.stale.remove([chunk.id for chunk in part])
                await unit.staged.add(work.file.id, part)
        async with self._indexes.storage.begin() as unit:
            await unit.jobs.save(job, work.holder)
        return dataclasses.replace(work, job=job)

    async def _embed_staged(self, work: Work) -> None:
        """Index what is staged and not marked, batch by batch. An attempt that gets on is none that failed."""
        async with self._indexes.storage.begin() as unit:
            total = len(await unit.staged.ids(work.file.id))
            left = await unit.staged.count_waiting(work.file.id)
        work.report(Progress(Stage.INDEXING, total - left, total))
        has_failed_before = work.job.attempt > 1
        async with contextlib.aclosing(self._embedded(work)) as batches:
            async for batch, vectors in batches:
                await self._index_batch(work.base, batch, vectors)
                async with self._indexes.storage.begin() as unit:
                    await unit.staged.mark([chunk.id for chunk in batch])
                    if has_failed_before:
                        await unit.jobs.save(dataclasses.replace(work.job, attempt=1), work.holder)
                        has_failed_before = False
                left -= len(batch)
                work.report(Progress(Stage.INDEXING, total - left, total))

    async def _embedded(self, work: Work) -> AsyncGenerator[tuple[list[Chunk], list[Vector | None]], None]:
        """What is not marked, batch after batch with its vectors; the next is embedded while the caller keeps one."""
        ahead = await self._begin_batch(work, after=-1)
        try:
            while ahead is not None:
                batch, vectors = ahead[0], await ahead[1]
                ahead = await self._begin_batch(work, after=batch[-1].position)
                yield batch, vectors
        finally:
            if ahead is not None:
                ahead[1].cancel()
                await asyncio.gather(ahead[1], return_exceptions=True)

    async def _begin_batch(
        self, work: Work, *, after: int
    ) -> tuple[list[Chunk], asyncio.Task[list[Vector | None]]] | None:
        async with self._indexes.storage.begin() as unit:
            batch = await unit.staged.next_batch(work.file, after=after, limit=self._limits.embed_batch)
        if not batch:
            return None
        texts = [chunk.indexed_text for chunk in batch]
        return batch, asyncio.create_task(self._embed(work.base.embedding_model, texts))

    async def _index_batch(self, base: KnowledgeBase, batch: Sequence[Chunk], vectors: Sequence[Vector | None]) -> None:
        embedded = with_vectors(batch, vectors)
        if embedded:
            await self._settle_dimensions(base, embedded)
        await _to_the_end(self._keep(base, batch, embedded))

    async def _keep(self, base: KnowledgeBase, batch: Sequence[Chunk], embedded: Sequence[EmbeddedChunk]) -> None:
        if embedded:
            await self._patiently(lambda: self._indexes.vectors.upsert(base.id, embedded))
        await self._indexes.keywords.upsert(batch)

    async def _embed(self, model: str, texts: Sequence[str]) -> list[Vector | None]:
        return await self._patiently(lambda: self._embedder.embed_documents(model, texts))

    async def _patiently(self, work: Callable[[], Coroutine[object, object, R]]) -> R:
        """Wait for a worker or a store that is restarting or busy; other failures are raised at once."""
        for pause_seconds in _RETRY_SECONDS:
            try:
                return await work()
            except ChatchatError as failure:
                if failure.kind not in _PASSING:
                    raise
                log.info("indexing waits %.1f s: %s", pause_seconds, failure)
            await asyncio.sleep(pause_seconds)
        return await work()

    async def _settle_dimensions(self, base: KnowledgeBase, embedded: Sequence[EmbeddedChunk]) -> None:
        """The first vectors say how long the base's are; the others must be as long."""
        async with self._indexes.storage.begin() as unit:
            known = await unit.knowledge_bases.get(base.name)
            if known.dimensions is None:
                known = dataclasses.replace(known, dimensions=len(embedded[0].vector))
                await unit.knowledge_bases.update(known)
        check_dimensions(known, embedded)

    async def _switch(self, work: Work) -> None:
        """Make the staged chunks the file's chunks in one commit, then have the indexes forget what is stale."""
        file = work.file
        async with self._indexes.storage.begin() as unit:
            texts = await unit.staged.texts(file.id, limit=_FINGERPRINTED_CHUNKS)
        likeness = await asyncio.to_thread(fingerprint, texts)
        async with self._indexes.storage.begin() as unit:
            await unit.jobs.save(work.job, work.holder)
            before = await unit.chunks.ids_of_file(file.id)
            kept = set(await unit.staged.ids(file.id))
            indexed = dataclasses.replace(
                file,
                state=FileState.INDEXED,
                chunk_count=len(kept),
                failure=None,
                warnings=work.job.warnings,
                loader=work.job.loader,
                splitter=work.job.splitter_class,
                fingerprint=likeness,
            )
            await unit.staged.publish(file.id)
            await unit.stale.add(file.knowledge_base_id, [chunk for chunk in before if chunk not in kept])
            await unit.jobs.remove(file.id)
            await unit.files.save(indexed)
        await purge(self._indexes)

    async def fail(self, work: Work, failure: ChatchatError) -> None:
        """Put on record why the file is not searchable, and take back what was staged of it. Raises JobLost."""
        record = FileFailure(failure.code, dict(failure.facts))
        async with self._indexes.storage.begin() as unit:
            await unit.jobs.save(work.job, work.holder)
            await withdraw(unit, work.file)
            await unit.files.save(dataclasses.replace(work.file, state=FileState.FAILED, failure=record))
        await purge(self._indexes)


async def _to_the_end(work: Coroutine[object, object, None]) -> None:
    """Await, and when the caller is cancelled meanwhile, let the work end first: nobody can say how far it was."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


async def withdraw(unit: UnitOfWork, file: KnowledgeFile) -> None:
    """Give up a file's job and what it staged; the caller holds it. What is live stays."""
    await retire_staged(unit, file)
    await unit.jobs.remove(file.id)


async def retire_staged(unit: UnitOfWork, file: KnowledgeFile) -> None:
    """Forget what was staged of a version that will not be: it would take candidates' places in every search."""
    live = set(await unit.chunks.ids_of_file(file.id))
    staged = await unit.staged.ids(file.id)
    await unit.stale.add(file.knowledge_base_id, [chunk for chunk in staged if chunk not in live])
    await unit.staged.remove(file.id)


async def purge(indexes: Indexes) -> None:
    """Have the indexes forget what is stale. What fails is logged and done another time: nobody sees these chunks."""
    try:
        while stale := await _some_stale(indexes.storage):
            for base, ids in stale.items():
                await indexes.vectors.remove(base, ids)
                await indexes.keywords.remove(base, ids)
                async with indexes.storage.begin() as unit:
                    await unit.stale.remove(ids)
    except ChatchatError as failure:
        log.warning("stale chunks stay in the indexes for now, unseen: %s", failure)


async def _some_stale(storage: Storage) -> Mapping[KnowledgeBaseId, list[ChunkId]]:
    async with storage.begin() as unit:
        return await unit.stale.some(limit=_STALE_PER_BATCH)


def with_vectors(chunks: Sequence[Chunk], vectors: Sequence[Vector | None]) -> list[EmbeddedChunk]:
    """The chunks that have a vector, with it."""
    return [
        EmbeddedChunk(chunk.id, vector) for chunk, vector in zip(chunks, vectors, strict=True) if vector is not None
    ]


def check_dimensions(base: KnowledgeBase, embedded: Sequence[EmbeddedChunk]) -> None:
    """Raises EmbedderChanged when the vectors are not of the length that the base's have, if it has any."""
    for actual in {len(each.vector) for each in embedded} - {base.dimensions}:
        if base.dimensions is not None:
            raise EmbedderChanged(
                name=base.name.value, model=base.embedding_model, expected=base.dimensions, actual=actual
            )


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
