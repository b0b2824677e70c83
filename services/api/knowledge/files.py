"""The content folders: `<data folder>/<base>/content/<file>`. Save, open, remove; blocking, called in threads."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from services.api.domain.knowledge import KnowledgeBase, KnowledgeBaseId, KnowledgeFile
from services.api.domain.names import FileName, KnowledgeBaseName
from services.foundation.errors import EmptyFile, FileTooLarge, InvalidName, UnreadableFile
from services.foundation.paths import atomic_write, join_inside

_BLOCK_BYTES = 1 << 20
_TRASH = ".trash-"
_CACHE = ".cache"
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What was written."""

    size_bytes: int
    sha256: str

    def put_on(self, record: KnowledgeFile) -> KnowledgeFile:
        """The record with this as its content, stored now; another content, or the first, is a new version."""
        is_new = record.version == 0 or record.sha256 != self.sha256
        return dataclasses.replace(
            record,
            size_bytes=self.size_bytes,
            sha256=self.sha256,
            version=record.version + is_new,
            modified_at=datetime.now(UTC),
        )


class ContentFolders:
    """Keeps the source files of all bases below one data folder."""

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self._root = root
        self._limit_bytes = limit_bytes

    @property
    def cache(self) -> Path:
        """Where readers of files keep what is dear to compute; no base can have its name."""
        return self._root / _CACHE

    def free_bytes(self) -> int:
        """What the disk of the data folder has room for."""
        self._root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self._root).free

    def path(self, base: KnowledgeBaseName, name: FileName) -> Path:
        """Where a file of a base lies, whether or not it exists."""
        return join_inside(self._content(base), name.value)

    def save(self, base: KnowledgeBaseName, name: FileName, source: IO[bytes]) -> StoredFile:
        """Copy `source` in, atomically.

        Raises:
            FileTooLarge: nothing was kept.
            EmptyFile: it holds no byte; nothing was kept.
        """
        with atomic_write(self.path(base, name)) as target:
            return self._copy(name, source, target)

    @asynccontextmanager
    async def passing(self, name: FileName, source: IO[bytes]) -> AsyncIterator[Path]:
        """A copy of `source` that is gone when the block ends. Raises as `save`."""
        with tempfile.NamedTemporaryFile(prefix="chatchat-", suffix=name.extension) as target:
            await asyncio.to_thread(self._copy, name, source, target)
            target.flush()
            yield Path(target.name)

    def _copy(self, name: FileName, source: IO[bytes], target: IO[bytes]) -> StoredFile:
        digest, size = hashlib.sha256(), 0
        while block := source.read(_BLOCK_BYTES):
            size += len(block)
            if size > self._limit_bytes:
                raise FileTooLarge(file=name.value, limit_bytes=self._limit_bytes)
            digest.update(block)
            target.write(block)
        if size == 0:
            raise EmptyFile(file=name.value, reason="it has zero bytes")
        return StoredFile(size, digest.hexdigest())

    def describe(self, base: KnowledgeBaseName, name: FileName) -> StoredFile | None:
        """Size and hash of a file that lies in the folder, or None.

        Raises:
            UnreadableFile: the system does not let it be read.
        """
        path = self.path(base, name)
        try:
            if not path.is_file():
                return None
            with path.open("rb") as handle:
                return StoredFile(path.stat().st_size, hashlib.file_digest(handle, "sha256").hexdigest())
        except OSError as failure:
            raise UnreadableFile(file=name.value, reason=failure.strerror or type(failure).__name__) from failure

    def look_up(self, base: KnowledgeBaseName, name: FileName) -> StoredFile | None:
        """As `describe`; None, too, when a link that leads out has taken the file's place."""
        try:
            return self.describe(base, name)
        except InvalidName:
            return None

    def remove(self, base: KnowledgeBaseName, name: FileName) -> None:
        """Delete a file; an absent one is no error."""
        self.path(base, name).unlink(missing_ok=True)

    def abandon(self, base: KnowledgeBaseName, name: FileName) -> None:
        """Delete a file that came after its base was gone, and the folders that came back with it."""
        self.remove(base, name)
        content = self._content(base)
        for folder in (content, content.parent):
            with contextlib.suppress(OSError):  # not empty, or not there: it belongs to somebody
                folder.rmdir()

    def make(self, base: KnowledgeBaseName) -> None:
        """Make a base's folder."""
        self._content(base).mkdir(parents=True, exist_ok=True)

    def names(self, base: KnowledgeBaseName) -> list[FileName]:
        """The files in a base's folder whose names we accept; hidden and temporary ones are not listed."""
        folder = self._content(base)
        found = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
        return [name for name in map(_accepted, found) if name is not None]

    def bases(self) -> list[KnowledgeBaseName]:
        """The folders below the data folder that hold a `content` folder and have a name we accept."""
        found = []
        for path in sorted(self._root.iterdir()) if self._root.is_dir() else []:
            if (path / "content").is_dir():
                try:
                    found.append(KnowledgeBaseName.parse(path.name))
                except InvalidName:
                    continue
        return found

    def temporary(self) -> list[str]:
        """The folders of temporary bases, by the names of these."""
        found = self._root.glob(".*") if self._root.is_dir() else ()
        return sorted(path.name for path in found if _TEMPORARY.fullmatch(path.name) and path.is_dir())

    def sweep_temporary(self, name: str) -> None:
        """Delete the folder of a temporary base that is not on record any more."""
        shutil.rmtree(join_inside(self._root, name), ignore_errors=True)

    def discard(self, base: KnowledgeBase) -> None:
        """Put a base's folder aside so that it no longer counts; `sweep` deletes it. An absent folder is no error."""
        folder = join_inside(self._root, base.name.value)
        if folder.is_dir():
            folder.rename(join_inside(self._root, f"{_TRASH}{base.id}"))
        else:
            join_inside(self._root, f"{_TRASH}{base.id}").mkdir(parents=True, exist_ok=True)

    def discarded(self) -> Iterator[KnowledgeBaseId]:
        """The bases that were put aside and not yet swept: their deletion was asked for."""
        for path in sorted(self._root.glob(f"{_TRASH}*")):
            yield KnowledgeBaseId(path.name.removeprefix(_TRASH))

    def sweep(self, base: KnowledgeBaseId) -> None:
        """Delete a folder that was put aside."""
        shutil.rmtree(join_inside(self._root, f"{_TRASH}{base}"), ignore_errors=True)

    def _content(self, base: KnowledgeBaseName) -> Path:
        return join_inside(self._root, base.value, "content")


def _accepted(name: str) -> FileName | None:
    try:
        return FileName.parse(name)
    except InvalidName:
        return None
