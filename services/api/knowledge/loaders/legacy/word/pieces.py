"""The text of a Word document, put together from its pieces, with the place in the file of each character."""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from services.api.knowledge.loaders.legacy.word.header import Header
from services.api.knowledge.loaders.legacy.word.properties import Runs

_COMPRESSED = 0x40000000
_PROPERTIES, _PIECE_TABLE = 1, 2


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of characters: where it stands in the text, where its bytes lie, how wide a character is."""

    position: int
    length: int
    offset: int
    width: int

    def place_of(self, offset: int) -> int:
        """The position of the character whose bytes lie at an offset."""
        return self.position + (offset - self.offset) // self.width


class PiecedText:
    """The whole text, one character of the string for each position of the document."""

    def __init__(self, main: bytes, tables: bytes, header: Header) -> None:
        self._pieces = list(_pieces(main, tables, header))
        self._positions = [piece.position for piece in self._pieces]
        self.characters = "".join(_decoded(main, piece, header) for piece in self._pieces)

    def offset_of(self, position: int) -> int:
        """Where in the file the character at a position lies."""
        piece = self._pieces[max(bisect_right(self._positions, position) - 1, 0)]
        return piece.offset + (position - piece.position) * piece.width

    def spans_of(self, parts: Runs[bool]) -> Iterator[tuple[int, int]]:
        """The positions whose characters lie in some parts of the file."""
        for piece in self._pieces:
            end = piece.offset + piece.length * piece.width
            first = max(bisect_right(parts.starts, piece.offset) - 1, 0)
            for number in range(first, bisect_left(parts.starts, end)):
                begun = max(parts.starts[number], piece.offset)
                ended = min(parts.ends[number], end)
                if begun < ended:
                    yield piece.place_of(begun), piece.place_of(ended)


def _pieces(main: bytes, tables: bytes, header: Header) -> Iterator[Piece]:
    """The pieces, without those that lie outside of the stream; together no longer than twice the stream."""
    budget = 2 * len(main)
    position = 0
    for length, offset, width in _listed(main, tables, header):
        fitting = min(length, max(len(main) - offset, 0) // width)
        budget -= fitting
        if budget < 0:
            raise ValueError("pieces overlap")
        if fitting > 0:
            yield Piece(position, fitting, offset, width)
            position += fitting


def _listed(main: bytes, tables: bytes, header: Header) -> Iterator[tuple[int, int, int]]:
    """Length, offset and character width of each piece."""
    table = _piece_table(tables if header.is_modern else main, header)
    count = (len(table) - 4) // 12
    if count < 1:
        yield sum(header.lengths.values()), header.text_from, 1
        return
    borders = struct.unpack_from(f"<{count + 1}I", table)
    for number in range(count):
        where = struct.unpack_from("<I", table, 4 * (count + 1) + 8 * number + 2)[0]
        length = max(borders[number + 1] - borders[number], 0)
        if not header.is_modern:
            yield length, where, 1
        elif where & _COMPRESSED:
            yield length, (where & ~_COMPRESSED) // 2, 1
        else:
            yield length, where, 2


def _piece_table(tables: bytes, header: Header) -> bytes:
    """The piece table: it follows the properties of pieces in the complex part of the file."""
    at, length = header.pieces
    part = tables[at : at + length]
    at = 0
    while at + 5 <= len(part):
        if part[at] == _PIECE_TABLE:
            size = struct.unpack_from("<I", part, at + 1)[0]
            return part[at + 5 : at + 5 + size]
        if part[at] != _PROPERTIES:
            break
        at += 3 + struct.unpack_from("<H", part, at + 1)[0]
    return b""


def _decoded(main: bytes, piece: Piece, header: Header) -> str:
    raw = main[piece.offset : piece.offset + piece.length * piece.width]
    if piece.width == 2:
        return "".join(map(chr, struct.unpack(f"<{piece.length}H", raw)))
    return _by_byte(raw, header.code_page)


def _by_byte(raw: bytes, code_page: str) -> str:
    """8-bit text, still as long as its bytes: a character of two is followed by a filler that cleaning takes away."""
    if code_page == "cp1252":
        return raw.decode("cp1252", "replace")
    characters: list[str] = []
    for character in raw.decode(code_page, "replace"):
        width = len(character.encode(code_page, "ignore")) or 1
        characters.append(character + "\0" * (width - 1))
    return "".join(characters)[: len(raw)].ljust(len(raw), "\0")
