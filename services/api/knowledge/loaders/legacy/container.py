"""OLE2 compound files, which hold the old Office formats: opened with their sizes checked, streams by name."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import olefile

from services.api.domain.knowledge import SourceFile
from services.foundation.errors import EncryptedFile, UnreadableFile

SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEADER_BYTES = 512
_SECTOR_BYTES = {9: 512, 12: 4096}
_ENCRYPTED = "encryptedpackage"


class Container:
    """The streams of an open compound file; names ignore case."""

    def __init__(self, ole: olefile.OleFileIO, size_bytes: int) -> None:
        self._ole = ole
        self._size_bytes = size_bytes
        self._names = {"/".join(parts).lower(): parts for parts in ole.listdir()}

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._names

    def __len__(self) -> int:
        return len(self._names)

    def content(self, name: str) -> bytes:
        """A stream's bytes; none when there is no such stream."""
        parts = self._names.get(name.lower())
        # A stream that claims to be larger than its file would be read in circles.
        if parts is None or self._ole.get_size(parts) > self._size_bytes:
            return b""
        found: bytes = self._ole.openstream(parts).read()
        return found


@contextmanager
def open_container(file: SourceFile) -> Iterator[Container]:
    """Open a compound file.

    Raises:
        UnreadableFile: its header lies about its size, or it holds nothing.
        EncryptedFile: it is the wrapper of a newer, protected Office file.
    """
    with file.path.open("rb") as handle:
        size_bytes = handle.seek(0, 2)
        handle.seek(0)
        if not _is_plausible(handle.read(_HEADER_BYTES), size_bytes):
            raise UnreadableFile(file=file.name.value, reason="its directory is damaged or cut off")
        handle.seek(0)
        with olefile.OleFileIO(handle) as ole:
            container = Container(ole, size_bytes)
            if not len(container):
                raise UnreadableFile(file=file.name.value, reason="its directory is damaged and lists nothing")
            if _ENCRYPTED in container:
                raise EncryptedFile(file=file.name.value)
            yield container


def _is_plausible(header: bytes, size_bytes: int) -> bool:
    """Whether the tables the header announces fit into the file: olefile would read them as often as it is told."""
    if len(header) < _HEADER_BYTES or not header.startswith(SIGNATURE):
        return False
    sector_bytes: int = _SECTOR_BYTES.get(struct.unpack_from("<H", header, 30)[0], 0)
    fat, _, _, _, _, mini_fat, _, difat = struct.unpack_from("<8I", header, 44)
    return sector_bytes > 0 and max(fat, mini_fat, difat) * sector_bytes <= size_bytes
