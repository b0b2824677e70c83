"""The knowledge service: bases and their files. Routes and init_database.py call it; nothing here knows of HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import secrets
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from services.api.domain.ingestion import Progress
from services.api.domain.knowledge import (
    AnsweringChoice,
    Chunk,
    FileFailure,
    FileId,
    FileState,
    FileSummary,
    KnowledgeBase,
    KnowledgeBaseId,
    KnowledgeFile,
    Parsed,
    SourceFile,
    SplitterChoice,
    Splitting,
)
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.knowledge.files import ContentFolders, StoredFile
from services.api.knowledge.ingest import Indexes, purge
from services.api.knowledge.orders import Catalogue, NewKnowledgeBase, Upload, chosen_splitter
from services.api.knowledge.queue import Indexing
from services.foundation.errors import (
    ChatchatError,
    FileExists,
    FileNotInBase,
    InvalidName,
    KnowledgeBaseExists,
    KnowledgeBaseNotFound,
    StoreFailed,
    UnknownModel,
    UnknownVariant,
)
from services.foundation.settings.tree import Knowledge

log = logging.getLogger(__name__)


class KnowledgeService:
    """Creates and deletes bases; adds, re-indexes and removes files. Work on one file never overlaps."""

    def __init__(
        self, indexes: Indexes, folders: ContentFolders, indexing: Indexing, catalogue: Catalogue, settings: Knowledge
    ) -> None:
        self._indexes = indexes
        self._folders = folders
        self._ingestor, self._queue = indexing.ingestor, indexing.queue
        self._catalogue = catalogue
        self._settings = settings
        self._splitter(Splitting())  # a wrong name or option is told at the start, not with the first file
        self._locks: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = weakref.WeakValueDictionary()

    async def create(self, base: NewKnowledgeBase) -> KnowledgeBase:
        """Make an empty base.

        Raises:
            KnowledgeBaseExists: the name is taken, ignoring case.
            UnknownModel, UnknownVariant: it asks for a model, store or splitter that there is not.
        """
        model = base.embedding_model or self._catalogue.default_embedding
        if model not in self._catalogue.embedding_models:
            raise UnknownModel(model=model, known=", ".join(self._catalogue.embedding_models))
        store = base.vector_store or self._settings.vector_store.name
        if store not in self._catalogue.vector_stores:
            raise UnknownVariant(shelf="vector store", name=store, known=", ".join(self._catalogue.vector_stores))
        made = KnowledgeBase(
            id=KnowledgeBaseId(secrets.token_hex(16)),
            name=base.name,
            description=base.description,
            embedding_model=model,
            vector_store=store,
            created_at=datetime.now(UTC),
            splitting=base.splitting,
            expires_at=base.expires_at,
        )
        self._splitter(Splitting(), made)
        async with self._indexes.storage.begin() as work:
            await work.knowledge_bases.add(made)
        try:
            await asyncio.to_thread(self._folders.make, made.name)
        except (ChatchatError, OSError):  # no folder, no base
            async with self._indexes.storage.begin() as work:
                await work.knowledge_bases.remove(made.id)
            raise
        return made

    async def ensure(self, base: NewKnowledgeBase) -> KnowledgeBase:
        """The base of that name, made if it does not exist."""
        try:
            return await self.create(base)
        except KnowledgeBaseExists:
            return await self.get(base.name)

    async def get(self, name: KnowledgeBaseName) -> KnowledgeBase:
        """Raises KnowledgeBaseNotFound."""
        async with self._indexes.storage.begin() as work:
            return await work.knowledge_bases.get(name)

    async def choose_answering(self, name: KnowledgeBaseName, choice: AnsweringChoice) -> None:
        """Have questions to a base be answered so. The names in it must be known. Raises KnowledgeBaseNotFound."""
        async with self._indexes.storage.begin() as work:
            base = await work.knowledge_bases.get(name)
            await work.knowledge_bases.update(dataclasses.replace(base, answering=choice))

    async def with_others(self, base: KnowledgeBase, names: Sequence[str]) -> tuple[KnowledgeBase, ...]:
        """The base and those of these names, each once. Raises InvalidName, KnowledgeBaseNotFound."""
        others = [await self.get(KnowledgeBaseName.parse(name)) for name in names]
        return tuple({one.id: one for one in (base, *others)}.values())

    async def bases(self) -> list[tuple[KnowledgeBase, int]]:
        """Every base with its number of files, but for temporary ones."""
        async with self._indexes.storage.begin() as work:
            counts = await work.files.counts()
            return [(base, counts.get(base.id, 0)) for base in await work.knowledge_bases.all()]

    async def delete(self, name: KnowledgeBaseName) -> None:
        """Delete a base with its files, chunks and vectors. Its chunks cannot be found from the first step on."""
        base = await self.get(name)
        await asyncio.to_thread(self._folders.discard, base)
        await self._finish_deletion(base.id)

    async def _finish_deletion(self, base: KnowledgeBaseId) -> None:
        async with self._indexes.storage.begin() as work:
            await work.knowledge_bases.remove(base)
        await self._indexes.drop(base)
        await asyncio.to_thread(self._folders.sweep, base)

    async def reset(self, name: KnowledgeBaseName, embedding_model: str | None = None) -> KnowledgeBase:
        """Forget what a base's files were indexed as, and keep the files: the first step of rebuilding it.

        Raises:
            KnowledgeBaseNotFound.
        """
        base = await self.get(name)
        fresh = dataclasses.replace(base, dimensions=None, embedding_model=embedding_model or base.embedding_model)
        for file in await self.files(name):
            if file.state is FileState.PENDING:
                await self._queue.take(file.id)
        async with self._indexes.storage.begin() as work:
            for file in await work.files.of_base(base.id):
                await work.files.remove(file.id)
            await work.knowledge_bases.update(fresh)
        await self._indexes.drop(base.id)
        return fresh

    async def files(self, name: KnowledgeBaseName) -> list[KnowledgeFile]:
        """The file records of a base. Raises KnowledgeBaseNotFound."""
        async with self._indexes.storage.begin() as work:
            base = await work.knowledge_bases.get(name)
            return await work.files.of_base(base.id)

    async def summaries(self, name: KnowledgeBaseName) -> Mapping[FileId, FileSummary]:
        """The summaries of a base's files. Raises KnowledgeBaseNotFound."""
        async with self._indexes.storage.begin() as work:
            return await work.summaries.of_base((await work.knowledge_bases.get(name)).id)

    async def names_in_folder(self, base: KnowledgeBase) -> list[FileName]:
        """The files that lie in a base's folder, with or without a record."""
        return await asyncio.to_thread(self._folders.names, base.name)

    async def progress(self, name: KnowledgeBaseName) -> Mapping[FileId, Progress]:
        """How far the base's files have got that are to be indexed. Raises KnowledgeBaseNotFound."""
        return await self._queue.progress(await self.get(name))

    async def chunks(self, name: KnowledgeBaseName, matches: Callable[[FileName], bool]) -> list[Chunk]:
        """The chunks of the files whose names match, by file name and position. Raises KnowledgeBaseNotFound."""
        async with self._indexes.storage.begin() as work:
            base = await work.knowledge_bases.get(name)
            files = [file for file in await work.files.of_base(base.id) if matches(file.name)]
            return [chunk for file in files for chunk in await work.chunks.of_file(file.id)]

    async def preview(self, upload: Upload) -> Parsed:
        """What a file would be cut into, without keeping or indexing anything.

        Raises:
            UnsupportedFile, FileTooLarge, EmptyFile, UnreadableFile.
        """
        self._catalogue.check_type(upload.name)
        async with self._folders.passing(upload.name, upload.source) as path:
            source = SourceFile(upload.name, path, cache=self._folders.cache)
            return await self._ingestor.preview(source, self._splitter(upload.splitting))

    async def stored_path(self, name: KnowledgeBaseName, file: FileName) -> Path:
        """Where the source file of a record lies. Raises KnowledgeBaseNotFound, FileNotInBase."""
        base = await self.get(name)
        await self._record(base, file)
        absent = FileNotInBase(knowledge_base=base.name.value, file=file.value)
        try:
            path = self._folders.path(base.name, file)
        except InvalidName:  # a link that leads out took its place
            raise absent from None
        if not path.is_file():
            raise absent
        return path

    async def add_file(self, name: KnowledgeBaseName, upload: Upload) -> KnowledgeFile:
        """Store a file and, if asked, index it. What this returns survives the death of the process.

        A file that cannot be indexed is kept and its record says why.

        Raises:
            KnowledgeBaseNotFound, UnsupportedFile, FileExists, FileTooLarge, EmptyFile: nothing was kept.
            StoreFailed: a new file was not kept; of a known one the old or the new content lies there.
        """
        base = await self.get(name)
        self._catalogue.check_type(upload.name)
        async with self._lock(base, upload.name):
            async with self._indexes.storage.begin() as work:
                known = await work.files.find(base.id, upload.name)
            if known is not None and not upload.replace:
                raise FileExists(file=upload.name.value)
            try:
                if known is not None:
                    await self._queue.take(known.id)
                stored = await asyncio.to_thread(self._folders.save, base.name, upload.name, upload.source)
                try:
                    record = await self._save_record(base, upload.name, stored, known)
                except StoreFailed:
                    if known is None:  # nobody was told that it is kept, and no list would show it
                        await asyncio.to_thread(self._folders.remove, base.name, upload.name)
                    raise
                if not upload.index:
                    return record
                record = await self._queue.put(record, self._splitter(upload.splitting, base))
            except KnowledgeBaseNotFound:  # deleted meanwhile: its folder must not come back
                await asyncio.to_thread(self._folders.abandon, base.name, upload.name)
                raise KnowledgeBaseNotFound(name=base.name.value) from None
        return await self._queue.finished(base, record) if upload.wait else record

    async def adopt(
        self, name: KnowledgeBaseName, file: FileName, splitting: Splitting | None = None, *, wait: bool = True
    ) -> KnowledgeFile:
        """Index a file that lies in the base's folder, with or without a record; or only put it in line.

        Raises:
            KnowledgeBaseNotFound, FileNotInBase, UnsupportedFile.
        """
        base = await self.get(name)
        async with self._lock(base, file):
            async with self._indexes.storage.begin() as work:
                known = await work.files.find(base.id, file)
            stored = await asyncio.to_thread(self._folders.describe, base.name, file)
            if stored is None:
                raise FileNotInBase(knowledge_base=base.name.value, file=file.value)
            self._catalogue.check_type(file)
            if known is not None:
                await self._queue.take(known.id)
            record = await self._save_record(base, file, stored, known)
            splitter = self._splitter(splitting or Splitting(), base)
            record = await self._queue.put(record, splitter)
        return await self._queue.finished(base, record) if wait else record

    async def cancel(self, name: KnowledgeBaseName, file: FileName) -> KnowledgeFile:
        """Give up indexing a file; its record when that is done. What was found of it before is found still.

        A file that is not to be indexed stays as it is.

        Raises:
            KnowledgeBaseNotFound, FileNotInBase.
        """
        base = await self.get(name)
        async with self._lock(base, file):
            await self._queue.cancel(await self._record(base, file))
            await purge(self._indexes)
            return await self._record(base, file)

    async def remove_file(self, name: KnowledgeBaseName, file: FileName, *, delete_content: bool) -> None:
        """Remove exactly one file's record, chunks and vectors, and its source file if asked.

        Its chunks cannot be found any more once they are off the record; then the indexes forget them.

        Raises:
            KnowledgeBaseNotFound, FileNotInBase.
        """
        base = await self.get(name)
        async with self._lock(base, file):
            record = await self._record(base, file)
            await self._queue.take(record.id)
            async with self._indexes.storage.begin() as work:
                chunks = [*await work.chunks.ids_of_file(record.id), *await work.staged.ids(record.id)]
                await work.files.remove(record.id)
                await work.stale.add(base.id, list(dict.fromkeys(chunks)))
            await purge(self._indexes)
            if delete_content:
                await asyncio.to_thread(self._folders.remove, base.name, file)

    async def resume(self) -> None:
        """Finish what a crash interrupted: deletions that were asked for, files that were to be indexed."""
        for discarded in await asyncio.to_thread(lambda: list(self._folders.discarded())):
            log.info("finishing the deletion of base %s", discarded)
            await self._finish_deletion(discarded)
        async with self._indexes.storage.begin() as work:
            bases = [*await work.knowledge_bases.all(), *await work.knowledge_bases.temporary()]
        for base in bases:
            with contextlib.suppress(KnowledgeBaseNotFound):  # deleted meanwhile
                await self._resume_files(base)

    async def _resume_files(self, base: KnowledgeBase) -> None:
        jobs = await self._queue.progress(base)
        for file in await self.files(base.name):
            if file.state is FileState.PENDING and file.id not in jobs:
                log.info("putting %r of %r in line again", file.name.value, base.name.value)
                await self._put_or_fail(base, file)

    async def _put_or_fail(self, base: KnowledgeBase, file: KnowledgeFile) -> None:
        """Put a file in line; one that cannot be, for the splitter its base names, say, fails and stops no other."""
        try:
            await self.put_in_line(base, file.name)
        except StoreFailed:
            raise
        except (KnowledgeBaseNotFound, FileNotInBase):
            log.info("%r of %r was deleted meanwhile", file.name.value, base.name.value)
        except ChatchatError as failure:
            log.warning("%r of %r cannot be indexed: %s", file.name.value, base.name.value, failure)
            record = FileFailure(failure.code, dict(failure.facts))
            async with self._indexes.storage.begin() as work:
                await work.files.save(dataclasses.replace(file, state=FileState.FAILED, failure=record))

    async def put_in_line(self, base: KnowledgeBase, name: FileName) -> KnowledgeFile | None:
        """Have a file indexed that has no job, but is to be indexed or holds something else than its record says.

        Its record in line; None when there is nothing to do for it any more.
        """
        async with self._lock(base, name):
            async with self._indexes.storage.begin() as work:
                known = await work.files.find(base.id, name)
                if known is None or await work.jobs.find(known.id) is not None:
                    return None
            if known.state is not FileState.PENDING:
                stored = await asyncio.to_thread(self._folders.describe, base.name, name)
                if stored is None or stored.sha256 == known.sha256:
                    return None
                known = await self._save_record(base, name, stored, known)
            return await self._queue.put(known, self._splitter(Splitting(), base))

    async def finished(self, base: KnowledgeBase, file: KnowledgeFile) -> KnowledgeFile:
        """Wait until a file in line is done with. Raises as `IndexQueue.finished`."""
        return await self._queue.finished(base, file)

    async def stop(self) -> None:
        """End what goes on in the background."""
        await self._queue.stop()

    async def _save_record(
        self, base: KnowledgeBase, name: FileName, stored: StoredFile, known: KnowledgeFile | None
    ) -> KnowledgeFile:
        now = datetime.now(UTC)
        record = known or KnowledgeFile(
            id=FileId(secrets.token_hex(16)),
            knowledge_base_id=base.id,
            name=name,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            version=0,
            state=FileState.STORED,
            created_at=now,
            modified_at=now,
        )
        state = record.state if record.sha256 == stored.sha256 else FileState.STORED
        record = dataclasses.replace(stored.put_on(record), state=state)
        async with self._indexes.storage.begin() as work:
            await work.files.save(record)
        return record

    def _splitter(self, splitting: Splitting, base: KnowledgeBase | None = None) -> SplitterChoice:
        return chosen_splitter(self._catalogue, self._settings, splitting, base)

    async def _record(self, base: KnowledgeBase, file: FileName) -> KnowledgeFile:
        async with self._indexes.storage.begin() as work:
            record = await work.files.find(base.id, file)
        if record is None:
            raise FileNotInBase(knowledge_base=base.name.value, file=file.value)
        return record

    def _lock(self, base: KnowledgeBase, file: FileName) -> asyncio.Lock:
        return self._locks.setdefault((base.id, file.value), asyncio.Lock())
