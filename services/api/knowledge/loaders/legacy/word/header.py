"""The file information block at the beginning of a Word document: version, lengths, where its tables lie."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_MAGIC = {0xA5EC, 0xA5DC, 0xA697, 0xA698, 0xA699}
_WORD_97 = 0xC1
_LEAST_BYTES = 0x60
_STORIES = ("body", "footnotes", "edges", "macros", "comments", "endnotes", "boxes", "edge_boxes")
_LENGTHS_AT = {True: 0x4C, False: 0x34}
_STYLES, _CHARACTERS, _PARAGRAPHS, _PIECES = 1, 12, 13, 33
_OLD_PIECES_AT = 0x160
_POINTERS_AT = 0x9A
_CODE_PAGES = {
    0x04: "gb18030",
    0x11: "cp932",
    0x12: "cp949",
    0x08: "cp1253",
    0x0D: "cp1255",
    0x01: "cp1256",
    0x19: "cp1251",
    0x1F: "cp1254",
    0x05: "cp1250",
    0x0E: "cp1250",
    0x15: "cp1250",
    0x1E: "cp874",
}
_TRADITIONAL = {0x0404, 0x0C04, 0x1404}


@dataclass(frozen=True, slots=True)
class Header:
    """What is needed to find the text and its properties.

    Attributes:
        is_modern: Word 97 or later; before, text was in a code page and all tables lay in the main stream.
        code_page: of 8-bit text.
        table_name: the stream the tables lie in.
        lengths: characters of each story, in the order in which the stories follow each other.
        text_from: where the text begins if there is no piece table.
        pieces, styles, characters, paragraphs: offset and length of the tables.
    """

    is_modern: bool
    is_encrypted: bool
    code_page: str
    table_name: str
    lengths: dict[str, int]
    text_from: int
    pieces: tuple[int, int]
    styles: tuple[int, int]
    characters: tuple[int, int]
    paragraphs: tuple[int, int]

    @classmethod
    def of(cls, main: bytes) -> Header | None:
        """Parse the block; None when the stream does not begin with one."""
        if len(main) < _LEAST_BYTES or struct.unpack_from("<H", main)[0] not in _MAGIC:
            return None
        _, version, _, language, _, flags = struct.unpack_from("<6H", main)
        is_modern = version >= _WORD_97
        is_complex = bool(flags & 0x0004)
        lengths = struct.unpack_from("<8i", main, _LENGTHS_AT[is_modern])
        return cls(
            is_modern=is_modern,
            is_encrypted=bool(flags & 0x0100),
            code_page="cp1252" if is_modern else _code_page(language),
            table_name="1Table" if flags & 0x0200 else "0Table",
            lengths={name: max(length, 0) for name, length in zip(_STORIES, lengths, strict=True)},
            text_from=struct.unpack_from("<I", main, 0x18)[0],
            pieces=_pointer(main, _PIECES) if is_modern else _old_pieces(main, is_complex=is_complex),
            styles=_pointer(main, _STYLES) if is_modern else (0, 0),
            characters=_pointer(main, _CHARACTERS) if is_modern else (0, 0),
            paragraphs=_pointer(main, _PARAGRAPHS) if is_modern else (0, 0),
        )


def _code_page(language: int) -> str:
    return "big5hkscs" if language in _TRADITIONAL else _CODE_PAGES.get(language & 0x3FF, "cp1252")


def _pointer(main: bytes, number: int) -> tuple[int, int]:
    at = _POINTERS_AT + 8 * number
    if at + 8 > len(main):
        return 0, 0
    offset, length = struct.unpack_from("<2I", main, at)
    return offset, length


def _old_pieces(main: bytes, *, is_complex: bool) -> tuple[int, int]:
    """Before Word 97 only a document saved piecemeal has a piece table."""
    if not is_complex or len(main) < _OLD_PIECES_AT + 8:
        return 0, 0
    offset, length = struct.unpack_from("<2I", main, _OLD_PIECES_AT)
    return offset, length
