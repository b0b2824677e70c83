"""One file at a time: parse → embed → store. Called by the knowledge service; bounded concurrency."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from services.api.domain.knowledge import (
    Chunk,
    ChunkId,
    EmbeddedChunk,
    FileFailure,
    FileState,
    KnowledgeBase,
    KnowledgeFile,
    Passage,
    SourceFile,
    SplitterChoice,
    Vector,
)
from services.api.domain.ports import Embedder, Parser, Storage, TextIndex, VectorStore
from services.foundation.errors import ChatchatError, EmbedderChanged, Kind

log = logging.getLogger(__name__)
_RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
_PASSING = {Kind.UNAVAILABLE, Kind.OVERLOADED}


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


class Ingestor:
    """Makes files searchable. The old chunks of a file stay until the new ones can be found."""

    def __init__(self, indexes: Indexes, embedder: Embedder, parser: Parser, limits: IngestLimits) -> None:
        self._indexes = indexes
        self._embedder = embedder
        self._parser = parser
        self._limits = limits
        self._running = asyncio.Semaphore(limits.parallel_files)

    async def index(
        self, base: KnowledgeBase, file: KnowledgeFile, source: SourceFile, splitter: SplitterChoice
    ) -> KnowledgeFile:
        """Index one stored file and return its record as it now stands: INDEXED, or FAILED with the reason.

        This is one of the two kinds of edge where a failure is recorded instead of raised: per file.
        """
        async with self._running:
            try:
                return await self._index(base, file, source, splitter)
            except ChatchatError as failure:
                log.warning("file %r of %r failed: %s", file.name.value, base.name.value, failure)
                return await self._failed(file, failure)
            except Exception as failure:
                log.exception("file %r of %r failed", file.name.value, base.name.value)
                return await self._failed(file, ChatchatError(reason=type(failure).__name__))

    async def _index(
        self, base: KnowledgeBase, file: KnowledgeFile, source: SourceFile, splitter: SplitterChoice
    ) -> KnowledgeFile:
        parsed = await self._parser.parse(source, splitter)
        chunks = await asyncio.to_thread(make_chunks, file, parsed.passages)
        indexed = dataclasses.replace(
            file,
            state=FileState.INDEXED,
            chunk_count=len(chunks),
            failure=None,
            warnings=parsed.warnings,
            loader=parsed.loader,
            splitter=parsed.splitter,
        )
        try:
            await self._store(base, chunks)
            await self._switch(indexed, chunks)
        except Exception:
            await self._withdraw(file, chunks)
            raise
        return indexed

    async def _store(self, base: KnowledgeBase, chunks: Sequence[Chunk]) -> None:
        size = self._limits.embed_batch
        for start in range(0, len(chunks), size):
            batch = chunks[start : start + size]
            vectors = await self._embed(base.embedding_model, [chunk.indexed_text for chunk in batch])
            embedded = [
                EmbeddedChunk(chunk.id, vector)
                for chunk, vector in zip(batch, vectors, strict=True)
                if vector is not None
            ]
            if embedded:
                await self._check_dimensions(base, len(embedded[0].vector))
                await self._indexes.vectors.upsert(base.id, embedded)
        await self._indexes.keywords.upsert(chunks)

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

    async def _switch(self, file: KnowledgeFile, chunks: Sequence[Chunk]) -> None:
        """Make the new chunks the file's chunks in one commit, then drop what is stale from the indexes."""
        async with self._indexes.storage.begin() as work:
            before = await work.chunks.ids_of_file(file.id)
            await work.chunks.replace(file, chunks)
            await work.files.save(file)
        kept = {chunk.id for chunk in chunks}
        stale = [chunk for chunk in before if chunk not in kept]
        if stale:
            await self._indexes.vectors.remove(file.knowledge_base_id, stale)
            await self._indexes.keywords.remove(file.knowledge_base_id, stale)

    async def _withdraw(self, file: KnowledgeFile, chunks: Sequence[Chunk]) -> None:
        """Take back what was stored of a version that failed: it would take candidates' places in every search."""
        try:
            async with self._indexes.storage.begin() as work:
                kept = set(await work.chunks.ids_of_file(file.id))
            stale = [chunk.id for chunk in chunks if chunk.id not in kept]
            await self._indexes.vectors.remove(file.knowledge_base_id, stale)
            await self._indexes.keywords.remove(file.knowledge_base_id, stale)
        except ChatchatError as failure:
            log.warning("chunks of a failed version of %r stay in the indexes, unseen: %s", file.name.value, failure)

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
