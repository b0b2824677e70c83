"""Limits on Office containers (ZIP), checked before a parser sees them: sizes, ratio, members, encryption."""

from __future__ import annotations

import zipfile

from services.api.domain.knowledge import SourceFile
from services.foundation.errors import EncryptedFile, UnreadableFile

_TOTAL_LIMIT_BYTES = 200_000_000
_MEMBER_LIMIT = 5000
_RATIO_LIMIT = 300
_RATIO_FREE_BYTES = 20_000_000
_BLOCK_BYTES = 1 << 20
_ENCRYPTED_FLAG = 0x1


def check_archive(file: SourceFile, folder: str, expected: str) -> None:
    """Unpack the container once, throwing the bytes away, and refuse a bomb. Pictures and other media are not unpacked.

    Args:
        file: the file.
        folder: where the format keeps its parts ("word/").
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
            is_office = any(member.filename == "[Content_Types].xml" for member in members)
            found = "another kind of Office file" if is_office else "a ZIP archive"
            raise UnreadableFile(file=file.name.value, reason=f"it is {found}, not {expected}")
        _check_real_sizes(file, archive, members)


def _check_real_sizes(file: SourceFile, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
    total = 0
    packed_bytes = max(file.path.stat().st_size, 1)
    for member in members:
        if not member.filename.lower().endswith((".xml", ".rels")):
            continue
        with archive.open(member) as stream:
            while block := stream.read(_BLOCK_BYTES):
                total += len(block)
                if total > _TOTAL_LIMIT_BYTES:
                    raise _bomb(file, f"it unpacks to more than {_TOTAL_LIMIT_BYTES // 1_000_000} MB")
                if total > _RATIO_FREE_BYTES and total > packed_bytes * _RATIO_LIMIT:
                    raise _bomb(file, f"it unpacks to more than {_RATIO_LIMIT} times its size")


def _bomb(file: SourceFile, reason: str) -> UnreadableFile:
    return UnreadableFile(file=file.name.value, reason=f"{reason}, which looks like an archive bomb")
