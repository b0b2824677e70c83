"""Copies the files of a 0.2.x base into ours: whole or not at all, and never over a file that is here. Blocking."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from io import BufferedReader, BytesIO
from pathlib import Path

from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.knowledge.files import ContentFolders, StoredFile
from services.api.knowledge.importing.report import Fate, FileOutcome
from services.api.knowledge.importing.survey import FoundFile
from services.foundation.errors import ChatchatError, EmptyFile, ImportRefused, InvalidName, StoreFailed

RESERVE_BYTES = 64 << 20
"""What must be left on the disk: the metadata database grows too."""
_BLOCK_BYTES = 1 << 20
_HOPELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}

Target = tuple[KnowledgeBaseName, FileName, FoundFile]


class Copier:
    """Copies one file at a time. `heard` is called from the copying thread with each number of bytes done."""

    def __init__(self, folders: ContentFolders, heard: Callable[[str, int], None]) -> None:
        self._folders = folders
        self._heard = heard

    def check_room(self, targets: Iterable[Target]) -> int:
        """The bytes that are to be copied.

        Raises:
            ImportRefused: the disk has no room for them; nothing was copied.
        """
        needed = sum(file.size_bytes for base, name, file in targets if not self._is_alike(base, name, file))
        free = self._folders.free_bytes() - RESERVE_BYTES
        if needed > max(free, 0):
            reason = (
                f"{needed} bytes are to be copied, and the disk of the data folder has room for {max(free, 0)}; make "
                "room, or set server.data_dir to a larger disk"
            )
            raise ImportRefused(source="knowledge_base", reason=reason)
        return needed

    def copy(self, base: KnowledgeBaseName, name: FileName, file: FoundFile) -> tuple[FileOutcome, StoredFile | None]:
        """Copy a file unless it is here; what became of it, and what lies here now.

        Raises:
            StoreFailed: the data folder takes no file any more.
        """
        try:
            here = self._folders.describe(base, name)
            with _opened(file.source) as source:
                if here is not None:
                    is_same = here.sha256 == hashlib.file_digest(source, "sha256").hexdigest()
                    return (FileOutcome(file.path, Fate.HERE, name=name.value) if is_same else _other(name, file)), here
                stored = self._folders.save(base, name, _Counted(source, lambda size: self._heard(file.path, size)))
        except EmptyFile:
            return FileOutcome(file.path, Fate.SKIPPED, "it is empty"), None
        except ChatchatError as failure:
            return FileOutcome(file.path, Fate.FAILED, str(failure)), None
        except OSError as failure:
            if failure.errno in _HOPELESS:
                raise StoreFailed(store="data folder", reason=f"{failure.strerror}; what is copied stays") from failure
            return FileOutcome(file.path, Fate.FAILED, f"it cannot be copied ({failure.strerror})"), None
        return FileOutcome(file.path, Fate.COPIED, name=name.value), stored

    def _is_alike(self, base: KnowledgeBaseName, name: FileName, file: FoundFile) -> bool:
        try:
            return self._folders.path(base, name).stat().st_size == file.size_bytes
        except (OSError, InvalidName):
            return False


def _other(name: FileName, file: FoundFile) -> FileOutcome:
    reason = f"a file {name.value!r} with other content is here already; rename it there, or delete the one here"
    return FileOutcome(file.path, Fate.FAILED, reason)


def are_same(one: FoundFile, other: FoundFile) -> bool:
    """Whether two files hold the same bytes. One that cannot be read is the same as no other."""
    if one.size_bytes != other.size_bytes:
        return False
    try:
        return _digest(one.source) == _digest(other.source)
    except OSError:
        return False


def _digest(path: Path) -> str:
    with _opened(path) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _opened(path: Path) -> BufferedReader:
    """Open a regular file that is no link, even if something else took its place since it was found."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return os.fdopen(descriptor, "rb")


class _Counted(BytesIO):
    """A source that tells how much was read of it."""

    def __init__(self, source: BufferedReader, heard: Callable[[int], None]) -> None:
        super().__init__()
        self._source = source
        self._heard = heard

    def read(self, size: int | None = -1, /) -> bytes:
        block = self._source.read(-1 if size is None else size)
        self._heard(len(block))
        return block
