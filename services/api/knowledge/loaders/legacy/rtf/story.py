"""What an RTF text flow is made of: collects words into paragraphs, cells and rows. The reader fills it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from services.api.knowledge.loaders.legacy.story import Block, Paragraph, RowCell, TableRow

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class CellShape:
    """A cell's right edge, and whether it continues its left neighbour or the cell above."""

    right: int
    is_beside: bool = False
    is_below: bool = False


@dataclass(slots=True)
class RowShape:
    """The cells of the rows that follow, as defined so far."""

    left: int = 0
    cells: list[CellShape] = field(default_factory=list)
    is_beside: bool = False
    is_below: bool = False

    def add(self, right: int) -> None:
        """End the definition of a cell."""
        self.cells.append(CellShape(right, self.is_beside, self.is_below))
        self.is_beside = self.is_below = False


class Story:
    """One flow of text: the body, the footnotes, the page headers."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.shape = RowShape()
        self._marker: list[str] = []
        self._words: list[str] = []
        self._lines: list[str] = []
        self._cells: list[str] = []

    def define(self, word: str, number: int | None) -> None:
        """Apply a word that defines the row."""
        match word:
            case "trowd":
                self.shape = RowShape()
            case "trleft":
                self.shape.left = number or 0
            case "clmrg":
                self.shape.is_beside = True
            case "clvmrg":
                self.shape.is_below = True
            case "cellx":
                self.shape.add(number or 0)

    def add(self, text: str) -> None:
        """Add words to the paragraph."""
        self._words.append(text)

    def mark(self, text: str) -> None:
        """Add to the number or bullet of the paragraph."""
        self._marker.append(text)

    def end_paragraph(self, level: int | None, *, is_item: bool, in_table: bool) -> None:
        """End the paragraph; one in a table is a line of its cell."""
        text = self._taken()
        if in_table:
            self._lines.append(f"{self._taken_marker()}{text}")
            return
        self._end_unfinished_row()
        marker = self._taken_marker()
        is_bullet = bool(marker) and not any(map(str.isalnum, marker))
        numbered = "" if is_bullet else marker
        self.blocks.append(Paragraph(f"{numbered}{text}", level, is_item=is_bullet or (is_item and not numbered)))

    def end_cell(self) -> None:
        """End a cell."""
        self._lines.append(f"{self._taken_marker()}{self._taken()}")
        self._cells.append("\n".join(self._lines))
        self._lines = []

    def end_row(self) -> None:
        """End a row: its cells have the shapes defined last."""
        if self._words or self._lines:
            self.end_cell()
        if self._cells:
            self.blocks.append(TableRow(tuple(self._shaped(self._cells))))
        self._cells = []

    def finished(self) -> list[Block]:
        """All blocks, with what was not ended."""
        if self._words:
            self.end_paragraph(None, is_item=False, in_table=bool(self._cells))
        self._end_unfinished_row()
        return self.blocks

    def _taken(self) -> str:
        text, self._words = "".join(self._words), []
        if _SURROGATE.search(text):
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return text

    def _taken_marker(self) -> str:
        marker, self._marker = "".join(self._marker), []
        return marker

    def _end_unfinished_row(self) -> None:
        if self._cells or self._lines:
            self.end_row()

    def _shaped(self, texts: list[str]) -> Iterator[RowCell]:
        shapes = self.shape.cells
        if len(shapes) != len(texts):
            yield from map(RowCell, texts)
            return
        merged: list[RowCell] = []
        left = self.shape.left
        for text, shape in zip(texts, shapes, strict=True):
            if shape.is_beside and merged:
                merged[-1] = replace(merged[-1], right=shape.right)
            else:
                merged.append(RowCell(text, left, shape.right, is_below=shape.is_below))
            left = shape.right
        yield from merged
