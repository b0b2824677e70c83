"""Bytes inside a file (a mail's body, a member's name) → text, when they name their charset rightly, wrongly or not."""

from __future__ import annotations

import codecs
import tempfile
from pathlib import Path

from services.api.domain.knowledge import SourceFile
from services.api.domain.names import FileName
from services.api.knowledge.loaders.reading.encodings import Encoding, detect
from services.foundation.errors import UnreadableFile

_WESTERN = frozenset({"ascii", "iso8859-1", "iso8859-15", "cp1252"})
_CHINESE = frozenset({"gb2312", "gbk", "gb18030", "big5", "big5hkscs", "cp950"})
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"})
_SEVEN_BIT_MARKS = (b"\x00", b"\x1b", b"~{")  # UTF-16, ISO-2022, HZ
_TELLING_BYTES = 200
_NAME = FileName("text")


def text_of(content: bytes, declared: str = "") -> tuple[str, tuple[str, ...]]:
    """The text and the warnings; what does not fit is replaced, as one odd byte must not cost a whole mail."""
    encoding = encoding_of(content, declared)
    return decoded(content, encoding), encoding.warnings


def decoded(content: bytes, encoding: Encoding) -> str:
    """The text of bytes whose encoding is known."""
    return content.decode(encoding.name, "strict" if encoding.is_strict else "replace")


def encoding_of(content: bytes, declared: str = "") -> Encoding:
    """How to read bytes, given the charset that stands beside them.

    A Western charset fits any bytes, and the Chinese ones fit much of each other, so programs that name the wrong one
    go unnoticed: against these, what the bytes themselves say counts, for Chinese ones if there are enough bytes.
    """
    if content.isascii() and not any(mark in content for mark in _SEVEN_BIT_MARKS):
        return Encoding("utf-8")
    name = _codec(declared)
    wide = sum(byte > 0x7F for byte in content[: _TELLING_BYTES * 10])
    with tempfile.TemporaryDirectory() as folder:
        file = SourceFile(_NAME, Path(folder) / "text")
        file.path.write_bytes(content)
        try:
            if name in _WESTERN or (name in _CHINESE and wide >= _TELLING_BYTES):
                found = detect(file)
                if found.is_certain:
                    return found
            return detect(file, name)
        except UnreadableFile:
            return Encoding(name or "utf-8", is_strict=False)


def _codec(declared: str) -> str | None:
    try:
        name = codecs.lookup(declared.strip()).name
        "".encode(name)
    except (LookupError, ValueError, UnicodeError):
        return None
    return None if name in _NO_CHARSETS else name
