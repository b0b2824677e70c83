"""ZIP archives: each member through the shelf's loader for its kind, in the order of their names."""

from __future__ import annotations

import posixpath
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from services.api.domain.knowledge import Document, SourceFile
from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.loaders.reading.charsets import decoded, encoding_of
from services.api.knowledge.loaders.reading.content_type import require_office
from services.api.knowledge.loaders.reading.encodings import Encoding
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.nested import Parts, parts_of, shown
from services.foundation.errors import EmptyFile, EncryptedFile, UnreadableFile

_MEMBER_LIMIT = 100_000
_MEMBER_MARK = b"PK\x01\x02"
_BLOCK_BYTES = 1 << 20
_ENCRYPTED_FLAG, _UTF8_FLAG = 0x1, 0x800
_UNICODE_PATH = 0x7075
_SYSTEM_FOLDERS = ("__MACOSX/",)
_SYSTEM_FILES = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
_NAMED_KINDS = 5
_OFFICE = {"word/": ".docx", "xl/": ".xlsx", "ppt/": ".pptx"}
_DECLARED = {
    "application/epub+zip": ".epub",
    "application/vnd.oasis.opendocument.presentation": ".odp",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/vnd.oasis.opendocument.text": ".odt",
}
_DECLARATION = "mimetype"


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    entry: zipfile.ZipInfo

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.entry.external_attr >> 16)

    @property
    def is_encrypted(self) -> bool:
        return bool(self.entry.flag_bits & _ENCRYPTED_FLAG)


class ZipLoader:
    """Reads .zip, and an Office file or e-book that is only called so. Nothing is written where a name says."""

    extensions: ClassVar[frozenset[str]] = frozenset({".zip"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            require_office(file, "a ZIP archive")
            _check_members(file)
            with zipfile.ZipFile(file.path) as archive:
                own = _own_kind(archive)
                if own not in LOADERS:
                    return _read(file, archive, _members(archive.infolist()))
            return LOADERS.build(own).load(file)


def _check_members(file: SourceFile) -> None:
    """Refuse very many members before their directory is in memory."""
    count, rest = 0, b""
    with file.path.open("rb") as handle:
        while block := handle.read(_BLOCK_BYTES):
            count += (rest + block).count(_MEMBER_MARK)
            rest = block[-len(_MEMBER_MARK) + 1 :]
    if count > _MEMBER_LIMIT:
        reason = f"it holds {count} members, more than {_MEMBER_LIMIT}, which looks like an archive bomb"
        raise UnreadableFile(file=file.name.value, reason=reason)


def _own_kind(archive: zipfile.ZipFile) -> str:
    """The extension of the format whose container this is, or an empty string."""
    names = archive.namelist()
    if "[Content_Types].xml" in names:
        return next((kind for folder, kind in _OFFICE.items() if any(name.startswith(folder) for name in names)), "")
    if names[:1] == [_DECLARATION] and archive.getinfo(_DECLARATION).file_size < 100:
        return _DECLARED.get(archive.read(_DECLARATION).decode("ascii", "ignore").strip(), "")
    return ""


def _members(entries: Sequence[zipfile.ZipInfo]) -> list[_Member]:
    """The files in the archive, in order of name, without what operating systems leave in folders."""
    raw = b"\n".join(_raw_name(entry) for entry in entries if not entry.flag_bits & _UTF8_FLAG)
    encoding = encoding_of(raw)
    members = [_Member(_name(entry, encoding), entry) for entry in entries if not entry.is_dir()]
    return sorted((member for member in members if not _is_of_system(member.name)), key=lambda member: member.name)


def _is_of_system(name: str) -> bool:
    return name.startswith(_SYSTEM_FOLDERS) or posixpath.basename(name).lower() in _SYSTEM_FILES


def _raw_name(entry: zipfile.ZipInfo) -> bytes:
    return entry.orig_filename.encode("cp437", "replace")


def _name(entry: zipfile.ZipInfo, encoding: Encoding) -> str:
    """The name as it was meant: by the UTF-8 flag, the Unicode field, or the encoding that all names share."""
    if entry.flag_bits & _UTF8_FLAG:
        return entry.filename
    raw = _raw_name(entry)
    stated = _unicode_path(entry.extra, zlib.crc32(raw))
    if stated:
        return stated
    return decoded(raw, encoding) if encoding.is_certain and encoding.is_strict else entry.filename


def _unicode_path(extra: bytes, checksum: int) -> str:
    """The name in the Info-ZIP Unicode Path field (APPNOTE 4.6.9), if it belongs to the name that stands there."""
    place = 0
    while place + 4 <= len(extra):
        ident, size = struct.unpack_from("<HH", extra, place)
        field = extra[place + 4 : place + 4 + size]
        if ident == _UNICODE_PATH and field[:5] == b"\x01" + struct.pack("<I", checksum):
            return field[5:].decode("utf-8", "replace")
        place += 4 + size
    return ""


def _read(file: SourceFile, archive: zipfile.ZipFile, members: list[_Member]) -> Document:
    if not members:
        raise EmptyFile(file=file.name.value, reason="it is an archive without files")
    if all(member.is_encrypted for member in members):
        raise EncryptedFile(file=file.name.value)
    with parts_of(file) as parts:
        for number, member in enumerate(members, start=1):
            _add(parts, archive, member)
            parts.tell(number, len(members))
    if not parts.sections:
        raise _nothing_read(file, parts, members)
    return document(file, parts.sections, parts.warnings)


def _add(parts: Parts, archive: zipfile.ZipFile, member: _Member) -> None:
    if member.is_link:
        parts.skip(member.name, "it is a link")
    elif member.is_encrypted:
        parts.skip(member.name, "it is protected by a password")
    else:
        parts.add(member.name, lambda: archive.open(member.entry))


def _nothing_read(file: SourceFile, parts: Parts, members: list[_Member]) -> UnreadableFile:
    """Why an archive gives no text, with what is in it."""
    if parts.failures and len(parts.failures) == len(members):
        if all(isinstance(each, EmptyFile) for each in parts.failures):
            return EmptyFile(file=file.name.value, reason="the files in it hold no text")
        if all(isinstance(each, EncryptedFile) for each in parts.failures):
            return EncryptedFile(file=file.name.value)
        return UnreadableFile(file=file.name.value, reason=f"no file in it could be read; {parts.warnings[0]}")
    kinds = Counter(posixpath.splitext(member.name)[1].lower() or "without extension" for member in members)
    named = ", ".join(f"{count} {shown(kind)}" for kind, count in kinds.most_common(_NAMED_KINDS))
    rest = " and others" if len(kinds) > _NAMED_KINDS else ""
    reason = f"it is an archive of {len(members)} files, none of which could be read: {named}{rest}"
    return UnreadableFile(file=file.name.value, reason=reason)
