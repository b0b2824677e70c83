"""Limits on containers (Office, OpenDocument, EPUB), checked before a parser sees them: sizes, ratio, encryption."""

from __future__ import annotations

import copy
import zipfile
import zlib
from collections.abc import Iterator

from services.api.domain.knowledge import SourceFile
from services.foundation.errors import EncryptedFile, UnreadableFile

_TOTAL_LIMIT_BYTES = 200_000_000
_MEMBER_LIMIT = 5000
_RATIO_LIMIT = 300
_RATIO_FREE_BYTES = 20_000_000
_BLOCK_BYTES = 1 << 20
_ENCRYPTED_FLAG = 0x1
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_OFFICE_MARKS = frozenset({"[Content_Types].xml", "mimetype"})


def check_archive(file: SourceFile, folder: str | tuple[str, ...], expected: str) -> None:
    """Unpack the container once, throwing the bytes away, and refuse a bomb, wherever in it the bomb hides.

    Args:
        file: the file.
        folder: where the format keeps its parts ("word/"), or the beginnings of names one of which must be there.
        expected: what the file should be, for the message.

    Raises:
        UnreadableFile: a bomb, a damaged container, or not what it should be.
        EncryptedFile: a member needs a password.
    """
    with zipfile.ZipFile(file.path) as archive:
        members = archive.infolist()
        if len(members) > _MEMBER_LIMIT:
            raise _bomb(file, f"it holds {len(members)} parts, more than {_MEMBER_LIMIT}")
        if any(member.flag_bits & _ENCRYPTED_FLAG for member in members):
            raise EncryptedFile(file=file.name.value)
        if sum(member.file_size for member in members) > _TOTAL_LIMIT_BYTES:
            raise _bomb(file, f"it would unpack to more than {_TOTAL_LIMIT_BYTES // 1_000_000} MB")
        if not any(member.filename.startswith(folder) for member in members):
            is_office = any(member.filename in _OFFICE_MARKS for member in members)
            found = "another kind of Office file or book" if is_office else "a ZIP archive"
            raise UnreadableFile(file=file.name.value, reason=f"it is {found}, not {expected}")
        _check_real_sizes(file, archive, members)


def _check_real_sizes(file: SourceFile, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
    total = 0
    packed_bytes = max(file.path.stat().st_size, 1)
    for member in members:
        if member.compress_type not in _METHODS:
            raise UnreadableFile(file=file.name.value, reason="it is packed by a method that its format does not know")
        size = 0
        for block_bytes in _unpacked(archive, member):
            size += block_bytes
            total += block_bytes
            if total > _TOTAL_LIMIT_BYTES:
                raise _bomb(file, f"it unpacks to more than {_TOTAL_LIMIT_BYTES // 1_000_000} MB")
            if total > _RATIO_FREE_BYTES and total > packed_bytes * _RATIO_LIMIT:
                raise _bomb(file, f"it unpacks to more than {_RATIO_LIMIT} times its size")
            if size > member.file_size:
                raise _bomb(file, "a part of it is larger than its directory says")


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[int]:
    """The sizes of a member's blocks as they come, whatever the directory says about its size.

    A damaged picture does no harm; a damaged part that matters fails when it is read.
    """
    unlimited = copy.copy(member)
    unlimited.file_size = _TOTAL_LIMIT_BYTES * 2
    try:
        with archive.open(unlimited) as stream:
            while block := stream.read(_BLOCK_BYTES):
                yield len(block)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return


def _bomb(file: SourceFile, reason: str) -> UnreadableFile:
    return UnreadableFile(file=file.name.value, reason=f"{reason}, which looks like an archive bomb")
