"""The storages of an Outlook message file and the MAPI properties in them ([MS-OXMSG]); read by msg.py."""

from __future__ import annotations

import datetime
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from services.api.knowledge.loaders.legacy.container import Container
from services.api.knowledge.loaders.reading.encodings import Encoding

PROPERTIES = "__properties_version1.0"
_ENTRY = struct.Struct("<HHI8s")
_STRING8, _UNICODE, _BINARY = 0x1E, 0x1F, 0x102
_OBJECT = 0xD
_CHILD_LIMIT = 2048  # what [MS-OXMSG] allows of recipients and of attachments
_EPOCH = datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC)
_CODECS = {
    936: "gb18030",
    1200: "utf-16-le",
    20127: "ascii",
    20866: "koi8-r",
    20932: "euc_jp",
    20936: "gb18030",
    21866: "koi8-u",
    50220: "iso2022_jp",
    50221: "iso2022_jp",
    50222: "iso2022_jp",
    50225: "iso2022_kr",
    51932: "euc_jp",
    51936: "gb18030",
    51949: "euc_kr",
    52936: "hz",
    54936: "gb18030",
    65001: "utf-8",
}
_UNKNOWN = Encoding("utf-8", is_strict=False)
_ISO_8859 = range(28591, 28606)


def codec_of(code_page: int) -> str:
    """Python's name for the codec of a Windows code page, or an empty string for none (0)."""
    if code_page in _ISO_8859:
        return f"iso8859-{code_page - _ISO_8859.start + 1}"
    return _CODECS.get(code_page, f"cp{code_page}" if code_page > 0 else "")


@dataclass(frozen=True, slots=True)
class Storage:
    """A message, a recipient or an attachment: a folder of streams in a compound file.

    Attributes:
        container: the compound file.
        path: where the storage is in it; ends in a slash unless it is the file itself.
        header_bytes: how long the header of its property stream is.
        encoding: of its 8-bit strings.
    """

    container: Container
    path: str
    header_bytes: int
    encoding: Encoding = _UNKNOWN

    def binary(self, tag: int) -> bytes:
        """A binary property, or nothing."""
        return self._stream(tag, _BINARY)

    def string8(self, tag: int) -> bytes:
        """The bytes of an 8-bit string property, or nothing."""
        return self._stream(tag, _STRING8)

    def text(self, tag: int) -> str:
        """A string property, or an empty string."""
        wide = self._stream(tag, _UNICODE)
        narrow = b"" if wide else self.string8(tag)
        text = wide.decode("utf-16-le", "replace") or narrow.decode(self.encoding.name, "replace")
        return text.strip("\x00")

    def number(self, tag: int) -> int:
        """An integer property, or 0."""
        return int.from_bytes(self._fixed(tag)[:4], "little", signed=True)

    def moment(self, tag: int) -> datetime.datetime | None:
        """A time property."""
        ticks = int.from_bytes(self._fixed(tag), "little")
        try:
            return _EPOCH + datetime.timedelta(microseconds=ticks // 10) if ticks else None
        except OverflowError:
            return None

    def children(self, prefix: str, header_bytes: int) -> Iterator[Storage]:
        """The storages of one kind inside this one, by their numbers, which may have gaps."""
        for number in range(_CHILD_LIMIT):
            path = f"{self.path}{prefix}{number:08X}/"
            if f"{path}{PROPERTIES}" in self.container:
                yield Storage(self.container, path, header_bytes, self.encoding)

    def embedded(self, tag: int, header_bytes: int) -> Storage | None:
        """The storage that is a property's value, if it is a message."""
        path = f"{self.path}{_stream_name(tag, _OBJECT)}/"
        is_message = f"{path}{PROPERTIES}" in self.container
        return Storage(self.container, path, header_bytes, self.encoding) if is_message else None

    def _stream(self, tag: int, kind: int) -> bytes:
        return self.container.content(f"{self.path}{_stream_name(tag, kind)}")

    def _fixed(self, tag: int) -> bytes:
        """The value of a property that is short enough to stand in the property stream."""
        entries = self.container.content(f"{self.path}{PROPERTIES}")[self.header_bytes :]
        whole = len(entries) // _ENTRY.size * _ENTRY.size
        for _, found, _, value in _ENTRY.iter_unpack(entries[:whole]):
            if found == tag:
                return bytes(value)
        return b""


def _stream_name(tag: int, kind: int) -> str:
    return f"__substg1.0_{tag:04X}{kind:04X}"
