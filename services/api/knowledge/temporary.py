"""Temporary bases: the files of a file chat, with a life and limits of their own. Called by routes and by `Parts`."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.api.domain.ingestion import Progress
from services.api.domain.knowledge import FileId, FileState, KnowledgeBase, KnowledgeFile
from services.api.domain.names import FileName, TemporaryId
from services.api.domain.ports import Storage
from services.api.knowledge.files import ContentFolders
from services.api.knowledge.orders import NewKnowledgeBase, Upload
from services.api.knowledge.service import KnowledgeService
from services.foundation.errors import (
    ChatchatError,
    KnowledgeBaseNotFound,
    TemporaryFilesFull,
    TemporaryFilesNotFound,
    TemporaryFilesUnread,
    TooManyTemporaryFiles,
)
from services.foundation.settings.tree import Temporary

log = logging.getLogger(__name__)
_BYTES_PER_MB = 1_000_000
_LOOK_SECONDS = 60.0

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time by this machine."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class TemporaryBase:
    """A temporary base and the id that opens it."""

    id: TemporaryId
    base: KnowledgeBase


class TemporaryBases:
    """Opens, fills and reads temporary bases. Whoever has the id may; each use lets the base live longer.

    What has expired is as good as gone, whether or not the sweeper has been there. The limits hold within one process:
    only the API takes uploads.

    Args:
        storage: holds the records.
        knowledge: does with their files what it does with any base's.
        limits: of life, number and size.
        clock: tells the time.
    """

    def __init__(
        self, storage: Storage, knowledge: KnowledgeService, limits: Temporary, clock: Clock = utc_now
    ) -> None:
        self._storage = storage
        self._knowledge = knowledge
        self._limits = limits
        self._clock = clock
        self._opening = asyncio.Lock()
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def open(self) -> TemporaryBase:
        """A new, empty one. Raises TooManyTemporaryFiles."""
        id_, now = TemporaryId.draw(), self._clock()
        async with self._opening:
            async with self._storage.begin() as work:
                living = [base for base in await work.knowledge_bases.temporary() if _is_alive(base, now)]
            if len(living) >= self._limits.sets:
                raise TooManyTemporaryFiles(sets=self._limits.sets, minutes=round(self._limits.minutes))
            made = await self._knowledge.create(NewKnowledgeBase(id_.base_name, expires_at=self._end_of(now)))
        return TemporaryBase(id_, made)

    async def use(self, id: TemporaryId) -> TemporaryBase:  # noqa: A002 - the field's name
        """The base of an id, which lives longer from now on. Raises TemporaryFilesNotFound."""
        now = self._clock()
        base = await self._found(id)
        async with self._storage.begin() as work:
            renewed = await work.knowledge_bases.renew(base.id, now=now, until=self._end_of(now))
        if renewed is None:
            raise TemporaryFilesNotFound(id=id.value)
        return TemporaryBase(id, renewed)

    async def ask(self, id: TemporaryId) -> KnowledgeBase:  # noqa: A002
        """The base to answer a question from; it lives longer.

        Raises:
            TemporaryFilesNotFound.
            TemporaryFilesUnread: nothing can be found in it yet, or ever, which is not to be taken for an answer.
        """
        used = await self.use(id)
        async with self._storage.begin() as work:
            files = await work.files.of_base(used.base.id)
        if not any(file.chunk_count for file in files):
            pending = sum(file.state is FileState.PENDING for file in files)
            raise TemporaryFilesUnread(files=len(files), pending=pending)
        return used.base

    async def progress(self, opened: TemporaryBase) -> Mapping[FileId, Progress]:
        """How far the files have got that are to be indexed."""
        async with self._storage.begin() as work:
            return await work.jobs.progress(opened.base.id)

    async def look(self, id: TemporaryId) -> tuple[TemporaryBase, list[KnowledgeFile]]:  # noqa: A002
        """The base of an id and its files; it lives no longer for that. Raises TemporaryFilesNotFound."""
        base = await self._found(id)
        if not _is_alive(base, self._clock()):
            raise TemporaryFilesNotFound(id=id.value)
        async with self._storage.begin() as work:
            return TemporaryBase(id, base), await work.files.of_base(base.id)

    async def add(self, opened: TemporaryBase, upload: Upload) -> KnowledgeFile:
        """Store a file and put it in line; it takes the place of one of the same name.

        Raises:
            TemporaryFilesFull: it is one too many, or too large beside the others.
            TemporaryFilesNotFound: the base expired meanwhile.
            UnsupportedFile, FileTooLarge, EmptyFile: nothing was kept.
        """
        used = await self.use(opened.id)
        lock = self._locks.setdefault(used.base.id, asyncio.Lock())
        async with lock:
            await self._check_room(used.base, upload)
            try:
                wanted = dataclasses.replace(upload, replace=True, index=True, wait=False)
                return await self._knowledge.add_file(used.base.name, wanted)
            except KnowledgeBaseNotFound:
                raise TemporaryFilesNotFound(id=opened.id.value) from None

    async def finished(self, opened: TemporaryBase, file: KnowledgeFile, *, seconds: float) -> KnowledgeFile:
        """The record of a file in line when it is done with, or as it was when that takes longer than allowed.

        Raises:
            TemporaryFilesNotFound: the base was deleted meanwhile.
            IndexerAbsent: nobody indexes files.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._knowledge.finished(opened.base, file)
        except TimeoutError:
            return file
        except KnowledgeBaseNotFound:
            raise TemporaryFilesNotFound(id=opened.id.value) from None

    async def delete(self, id: TemporaryId) -> None:  # noqa: A002
        """Forget the files of an id at once. Raises TemporaryFilesNotFound."""
        opened, _ = await self.look(id)
        try:
            await self._knowledge.delete(opened.base.name)
        except KnowledgeBaseNotFound:
            raise TemporaryFilesNotFound(id=id.value) from None

    async def _found(self, id: TemporaryId) -> KnowledgeBase:  # noqa: A002
        try:
            return await self._knowledge.get(id.base_name)
        except KnowledgeBaseNotFound:
            raise TemporaryFilesNotFound(id=id.value) from None

    async def _check_room(self, base: KnowledgeBase, upload: Upload) -> None:
        async with self._storage.begin() as work:
            others = [file for file in await work.files.of_base(base.id) if file.name != upload.name]
        size = await asyncio.to_thread(_size_bytes, upload)
        held = sum(file.size_bytes for file in others) + size
        if len(others) >= self._limits.files or held > self._limits.limit_mb * _BYTES_PER_MB:
            raise self._full(upload.name)

    def _full(self, file: FileName) -> TemporaryFilesFull:
        return TemporaryFilesFull(file=file.value, files=self._limits.files, limit_mb=self._limits.limit_mb)

    def _end_of(self, now: datetime) -> datetime:
        return now + timedelta(minutes=self._limits.minutes)


class TemporarySweeper:
    """Deletes temporary bases that have expired: files, chunks, what the indexes have of them, and their folders.

    An expired base cannot be renewed, so nobody can be about to use it. Two sweepers at a time do no harm.
    """

    def __init__(
        self, storage: Storage, knowledge: KnowledgeService, folders: ContentFolders, clock: Clock = utc_now
    ) -> None:
        self._storage = storage
        self._knowledge = knowledge
        self._folders = folders
        self._clock = clock

    async def keep(self, *, look_seconds: float = _LOOK_SECONDS) -> None:
        """Sweep again and again, for ever. What fails is logged and tried again."""
        while True:
            try:
                await self.sweep()
            except (ChatchatError, OSError) as failure:
                log.warning("expired files of file chats stay for now: %s", failure)
            await asyncio.sleep(look_seconds)

    async def sweep(self) -> int:
        """Delete what has expired, and folders that a crash left behind; returns how many bases went."""
        lying = await asyncio.to_thread(self._folders.temporary)  # before the records: a base has its record first
        async with self._storage.begin() as work:
            known = await work.knowledge_bases.temporary()
        now = self._clock()
        expired = [base for base in known if not _is_alive(base, now)]
        for base in expired:
            try:
                await self._knowledge.delete(base.name)
            except KnowledgeBaseNotFound:
                log.info("%s was deleted meanwhile", base.name)
        for name in set(lying) - {base.name.value for base in known}:
            await asyncio.to_thread(self._folders.sweep_temporary, name)
        if expired:
            log.info("deleted %d expired file chats", len(expired))
        return len(expired)


def _is_alive(base: KnowledgeBase, now: datetime) -> bool:
    return base.expires_at is not None and base.expires_at > now


def _size_bytes(upload: Upload) -> int:
    size = upload.source.seek(0, 2)
    upload.source.seek(0)
    return size
