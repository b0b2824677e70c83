"""One PDF page as lines of text and tables in reading order, from pdfium's characters or from its picture."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pypdfium2
from pypdfium2 import raw

from services.api.knowledge.loaders.pdf.sight import Sight
from services.api.knowledge.loaders.pictures.lines import Block, Paragraph
from services.api.knowledge.loaders.reading.cleaning import clean_line
from services.api.knowledge.loaders.reading.tables import Cell

_LINE_ENDS = {"\r", "\n"}
_HYPHENS = {"\ufffe", "\x02"}


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in PDF coordinates: the origin is at the bottom left."""

    left: float
    bottom: float
    right: float
    top: float

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies inside."""
        return self.left <= x <= self.right and self.bottom <= y <= self.top


@dataclass(frozen=True, slots=True)
class Table:
    """A table found on a page."""

    box: Box
    rows: list[list[Cell]]


Piece = str | Table | Block
"""A line of the text layer, a table of it, or what was read from a picture."""


@dataclass(frozen=True, slots=True)
class Page:
    """What stands on a page, in reading order. `number` is 1-based; `sight` is what its picture is still needed for."""

    number: int
    pieces: list[Piece]
    sight: Sight = Sight.UNNEEDED

    @property
    def lines(self) -> list[str]:
        """The lines outside tables; a paragraph read from a picture counts as one."""
        shown = (piece.text if isinstance(piece, Paragraph) else piece for piece in self.pieces)
        return [line for line in shown if isinstance(line, str)]


def page_lines(text: pypdfium2.PdfTextPage, tables: Sequence[Table]) -> list[Piece]:
    """Lines of a page; each table stands where its first character stood, and its characters stand nowhere else."""
    if not tables:
        return _cleaned(_whole(text).replace("\r", "\n").split("\n"))
    pieces: list[Piece] = []
    line: list[str] = []
    placed: set[int] = set()
    for char, table in _located(text, tables):
        if table is not None:
            pieces.append("".join(line))
            line = []
            if table not in placed:
                placed.add(table)
                pieces.append(tables[table])
        elif char in _LINE_ENDS:
            pieces.append("".join(line))
            line = []
        else:
            line.append(char)
    pieces.append("".join(line))
    return _cleaned(pieces)


def _whole(text: pypdfium2.PdfTextPage) -> str:
    found: str = text.get_text_range()
    for hyphen in _HYPHENS:
        found = found.replace(f"{hyphen}\r\n", "").replace(hyphen, "")
    return found


def _cleaned(pieces: Sequence[Piece]) -> list[Piece]:
    cleaned = (clean_line(piece) if isinstance(piece, str) else piece for piece in pieces)
    return [piece for piece in cleaned if piece]


def _located(text: pypdfium2.PdfTextPage, tables: Sequence[Table]) -> Iterator[tuple[str, int | None]]:
    """Each character with the table it stands in. Spaces and line ends that pdfium made up follow the one before."""
    edges = [ctypes.c_double() for _ in range(4)]
    left, right, bottom, top = edges
    inside: int | None = None
    for index in range(text.count_chars()):
        char = chr(min(raw.FPDFText_GetUnicode(text, index), 0x10FFFF))
        if char in _HYPHENS:
            continue
        if not char.isspace() and raw.FPDFText_GetCharBox(text, index, *map(ctypes.byref, (left, right, bottom, top))):
            x, y = (left.value + right.value) / 2, (bottom.value + top.value) / 2
            inside = next((number for number, table in enumerate(tables) if table.box.holds(x, y)), None)
        if inside is None or not char.isspace():
            yield char, inside
