"""Inspection: compares disk, database, vector store and keyword index, and puts right what needs no decision.

Called by init_database.py --check and by the schedule. It may run beside a working stack: files that have a job are
left to whoever does the job, and what it found is looked at again before anything is changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.api.domain.knowledge import (
    Chunk,
    ChunkId,
    EmbeddedChunk,
    FileState,
    KnowledgeBase,
    KnowledgeFile,
)
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.domain.ports import Embedder, TextIndex, VectorStore
from services.api.knowledge.files import ContentFolders
from services.api.knowledge.findings import BaseFindings, Fault, Finding, InspectionReport
from services.api.knowledge.ingest import Indexes, check_dimensions, purge, with_vectors
from services.api.knowledge.service import KnowledgeService
from services.foundation.errors import ChatchatError

log = logging.getLogger(__name__)
_CONTENT_COUNTS = {FileState.INDEXED, FileState.FAILED}


@dataclass(frozen=True, slots=True)
class RepairMeans:
    """What repairs need beside the indexes.

    Attributes:
        embed_batch: texts embedded at a time.
        owns_vectors: nobody else keeps vectors in the store, so that a collection of no base of ours is nobody's.
        extensions: of the files that a loader stands for.
    """

    embedder: Embedder
    embed_batch: int
    owns_vectors: bool
    extensions: Sequence[str]


@dataclass(slots=True)
class _Chunks:
    """The ids of a base's chunks: in the database, and those that an index lacks."""

    live: set[ChunkId]
    without_vector: set[ChunkId]
    without_keywords: set[ChunkId]


class Inspection:
    """Looks at bases one after the other. Two at a time, in whatever processes, do no harm."""

    def __init__(
        self, indexes: Indexes, folders: ContentFolders, knowledge: KnowledgeService, means: RepairMeans
    ) -> None:
        self._indexes = indexes
        self._folders = folders
        self._knowledge = knowledge
        self._means = means

    async def run(self, named: Sequence[KnowledgeBaseName] = (), *, wait: bool = False) -> InspectionReport:
        """Check the named bases, or all of them and what belongs to none; repair, and say what was done.

        Temporary bases are left alone: they are gone before anybody would miss anything in them.

        What fails in one base is a finding there and stops nothing else.

        Args:
            named: bases to look at; none: all.
            wait: until the files that were put in line are indexed.

        Raises:
            KnowledgeBaseNotFound: a named base.
            StoreFailed: the metadata database cannot be read.
        """
        await purge(self._indexes)
        async with self._indexes.storage.begin() as work:
            bases = [await work.knowledge_bases.get(name) for name in named] or await work.knowledge_bases.all()
        seen = [await self._inspect(base, wait=wait) for base in bases]
        rest = () if named else tuple([finding async for finding in self._unknown_bases()])
        return InspectionReport(tuple(seen), rest)

    async def refill_keywords(self) -> int:
        """Fill the keyword index of bases that have chunks and no keywords, as after an upgrade that cuts text anew.

        Returns how many chunks were put in.
        """
        async with self._indexes.storage.begin() as work:
            bases = await work.knowledge_bases.all()
        count = 0
        for base in bases:
            if await self._indexes.keywords.ids(base.id):
                continue
            async with self._indexes.storage.begin() as work:
                live = await work.chunks.ids_of_base(base.id)
            count += await self._restore_keywords(base, sorted(live))
        return count

    async def _inspect(self, base: KnowledgeBase, *, wait: bool) -> BaseFindings:
        findings: list[Finding] = []
        files = chunks = 0
        try:
            files = await self._inspect_files(base, findings, wait=wait)
            chunks = await self._inspect_chunks(base, findings)
        except ChatchatError as failure:
            findings.append(Finding(Fault.UNFINISHED, 1, reason=str(failure)))
        async with self._indexes.storage.begin() as work:
            if await work.knowledge_bases.find(base.id) is None:  # deleted meanwhile
                return BaseFindings(base.name, 0, 0, ())
        return BaseFindings(base.name, files, chunks, tuple(finding for finding in findings if finding.count))

    async def _inspect_files(self, base: KnowledgeBase, findings: list[Finding], *, wait: bool) -> int:
        lying = await asyncio.to_thread(self._folders.names, base.name)
        async with self._indexes.storage.begin() as work:
            files = await work.files.of_base(base.id)
            jobs = await work.jobs.progress(base.id)
        idle = [file for file in files if file.id not in jobs]
        waiting = [file.name for file in idle if file.state is FileState.PENDING]
        lost, changed = await self._compare_contents(base, [one for one in idle if one.state is not FileState.PENDING])
        requeued = await self._put_in_line(base, waiting)
        renewed = await self._put_in_line(base, changed)
        known = {file.name for file in files}
        loose = [name for name in lying if name not in known and name.extension in self._means.extensions]
        findings += [
            _of_files(Fault.WAITING_WITHOUT_JOB, [file.name for file in requeued]),
            _of_files(Fault.CHANGED_CONTENT, [file.name for file in renewed]),
            _of_files(Fault.LOST_CONTENT, await self._still(base, lost, recorded=True)),
            _of_files(Fault.NO_RECORD, await self._still(base, loose, recorded=False)),
        ]
        if wait:
            done = await asyncio.gather(*(self._knowledge.finished(base, file) for file in (*requeued, *renewed)))
            failed = [file.name for file in done if file.state is FileState.FAILED]
            findings.append(_of_files(Fault.INDEXING_FAILED, failed))
        return len(files)

    async def _compare_contents(
        self, base: KnowledgeBase, files: Sequence[KnowledgeFile]
    ) -> tuple[list[FileName], list[FileName]]:
        """The files whose content is gone, and those whose content is not what the record says."""
        lost, changed = [], []
        for file in files:
            stored = await asyncio.to_thread(self._folders.look_up, base.name, file.name)
            if stored is None:
                lost.append(file.name)
            elif file.state in _CONTENT_COUNTS and stored.sha256 != file.sha256:
                changed.append(file.name)
        return lost, changed

    async def _put_in_line(self, base: KnowledgeBase, names: Iterable[FileName]) -> list[KnowledgeFile]:
        put = [await self._knowledge.put_in_line(base, name) for name in names]
        return [file for file in put if file is not None]

    async def _still(self, base: KnowledgeBase, names: Iterable[FileName], *, recorded: bool) -> list[FileName]:
        """Those that have a record, or have none, now as well."""
        async with self._indexes.storage.begin() as work:
            return [name for name in names if (await work.files.find(base.id, name) is not None) is recorded]

    async def _inspect_chunks(self, base: KnowledgeBase, findings: list[Finding]) -> int:
        chunks = await self._compare_indexes(base, findings)
        # An index that was filled while the others were read lacks nothing: look again at what seemed to be missing.
        if chunks.without_keywords:
            chunks.without_keywords -= await self._indexes.keywords.ids(base.id)
        if chunks.without_vector:
            chunks.without_vector -= await self._indexes.vectors.ids(base.id)
        restored = await self._restore_keywords(base, sorted(chunks.without_keywords))
        findings.append(Finding(Fault.MISSING_KEYWORDS, restored))
        await self._restore_vectors(base, sorted(chunks.without_vector), findings)
        return len(chunks.live)

    async def _compare_indexes(self, base: KnowledgeBase, findings: list[Finding]) -> _Chunks:
        """What each has. A chunk is staged before any index gets it, so the indexes are read before the database."""
        with_vector = await self._indexes.vectors.ids(base.id)
        with_keywords = await self._indexes.keywords.ids(base.id)
        async with self._indexes.storage.begin() as work:
            live = await work.chunks.ids_of_base(base.id)
            known = live | await work.staged.ids_of_base(base.id)
            orphans = (with_vector | with_keywords) - known
            await work.stale.add(base.id, sorted(orphans))
        findings.append(Finding(Fault.ORPHAN_VECTORS, len(with_vector - known)))
        findings.append(Finding(Fault.ORPHAN_KEYWORDS, len(with_keywords - known)))
        if orphans:
            await purge(self._indexes)
        return _Chunks(live, live - with_vector, live - with_keywords)

    async def _restore_keywords(self, base: KnowledgeBase, ids: Sequence[ChunkId]) -> int:
        restored = 0
        for batch in _batches(ids, self._means.embed_batch):
            chunks = await self._idle_chunks(base, batch)
            await self._indexes.keywords.upsert(chunks)
            await self._forget_removed(base, chunks)
            restored += len(chunks)
        return restored

    async def _restore_vectors(self, base: KnowledgeBase, ids: Sequence[ChunkId], findings: list[Finding]) -> None:
        """Embed again what has no vector; what the embedder cannot read has none on purpose."""
        restored = unreadable = 0
        try:
            for batch in _batches(ids, self._means.embed_batch):
                chunks = await self._idle_chunks(base, batch)
                embedded = await self._embed(base, chunks)
                await self._indexes.vectors.upsert(base.id, embedded)
                await self._forget_removed(base, chunks)
                restored += len(embedded)
                unreadable += len(chunks) - len(embedded)
        except ChatchatError as failure:
            left = len(ids) - restored - unreadable
            findings.append(Finding(Fault.NOT_EMBEDDED, left, reason=str(failure)))
        findings.append(Finding(Fault.MISSING_VECTORS, restored))
        findings.append(Finding(Fault.UNREADABLE_TEXTS, unreadable))

    async def _idle_chunks(self, base: KnowledgeBase, ids: Sequence[ChunkId]) -> list[Chunk]:
        """The live chunks of these ids whose files nobody is about to index."""
        async with self._indexes.storage.begin() as work:
            chunks = await work.chunks.fetch(base.id, ids)
            busy = await work.jobs.unfinished(sorted({chunk.file_id for chunk in chunks}))
        return [chunk for chunk in chunks if chunk.file_id not in busy]

    async def _embed(self, base: KnowledgeBase, chunks: Sequence[Chunk]) -> list[EmbeddedChunk]:
        if not chunks:
            return []
        texts = [chunk.indexed_text for chunk in chunks]
        vectors = await self._means.embedder.embed_documents(base.embedding_model, texts)
        embedded = with_vectors(chunks, vectors)
        check_dimensions(base, embedded)
        return embedded

    async def _forget_removed(self, base: KnowledgeBase, chunks: Sequence[Chunk]) -> None:
        """Take back from the indexes what was removed or replaced while it was on its way there."""
        ids = [chunk.id for chunk in chunks]
        async with self._indexes.storage.begin() as work:
            is_gone = await work.knowledge_bases.find(base.id) is None
            live = {chunk.id for chunk in await work.chunks.fetch(base.id, ids)}
            removed = [id_ for id_ in ids if id_ not in live]
            if not is_gone:
                await work.stale.add(base.id, removed)
        if is_gone:
            await self._indexes.drop(base.id)
        elif removed:
            await purge(self._indexes)

    async def _unknown_bases(self) -> AsyncIterator[Finding]:
        try:
            yield await self._drop_unknown(self._indexes.keywords, Fault.UNKNOWN_KEYWORDS, is_ours=True)
            yield await self._drop_unknown(
                self._indexes.vectors, Fault.UNKNOWN_VECTORS, is_ours=self._means.owns_vectors
            )
        except ChatchatError as failure:
            yield Finding(Fault.UNFINISHED, 1, reason=str(failure))

    async def _drop_unknown(self, index: VectorStore | TextIndex, fault: Fault, *, is_ours: bool) -> Finding:
        """Drop what an index keeps of bases that are not on record.

        A base is on record before an index hears of it, so the index is read before the database. A database without
        any base is more likely the wrong one than one whose bases all left something behind.
        """
        kept = await index.bases()
        async with self._indexes.storage.begin() as work:
            lasting, temporary = await work.knowledge_bases.all(), await work.knowledge_bases.temporary()
        known = {base.id for base in (*lasting, *temporary)}
        unknown = kept - known
        if unknown and not (is_ours and known):
            return Finding(Fault.FOREIGN_BASES, len(unknown))
        for base in unknown:
            await index.drop(base)
        return Finding(fault, len(unknown))


def _batches(ids: Sequence[ChunkId], size: int) -> Iterator[Sequence[ChunkId]]:
    return (ids[at : at + size] for at in range(0, len(ids), size))


def _of_files(fault: Fault, names: Sequence[FileName]) -> Finding:
    return Finding(fault, len(names), tuple(names))
