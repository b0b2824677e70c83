"""Ruled tables of PDF pages: pdfplumber finds the grid, pdfium reads the cells. Pages without rulings cost nothing."""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pdfplumber
import pypdfium2
from pdfplumber.pdf import PDF
from pypdfium2 import raw

from services.api.knowledge.loaders.pdf.drawing import drawing
from services.api.knowledge.loaders.pdf.pages import Box, Table
from services.api.knowledge.loaders.reading.tables import Cell

log = logging.getLogger(__name__)
_TIME_LIMIT_SECONDS = 60.0
_PAGE_LIMIT = 300
_OBJECT_LIMIT = 5000
_MIN_RULINGS = 4
_TOLERANCE = 3.0
_FILLED_SHARE = 0.3
_BESIDE = 12.0

Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class _Ruled:
    """A table as pdfplumber found it; its rectangles are left, top, right, bottom, from the top of the page."""

    bbox: Rectangle
    cells: list[Rectangle]


class TableFinder:
    """Finds the tables of one file, within a number of pages and seconds; what is beyond is read as plain text."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pages_left = _PAGE_LIMIT
        self._seconds_left = _TIME_LIMIT_SECONDS
        self._plumber: PDF | None = None

    def __enter__(self) -> TableFinder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._plumber is not None:
            self._plumber.close()

    def find(self, index: int, page: pypdfium2.PdfPage, text: pypdfium2.PdfTextPage) -> list[Table]:
        """The tables of a page that is upright, drawn from the origin and has rulings."""
        if self._pages_left <= 0 or self._seconds_left <= 0 or not _may_hold_table(page, text):
            return []
        self._pages_left -= 1
        begun = time.monotonic()
        try:
            return [
                table for found in self._ruled(index) if (table := _read(found, page.get_height(), text)) is not None
            ]
        except Exception:
            log.info("no tables read on page %d", index + 1, exc_info=True)
            return []
        finally:
            self._seconds_left -= time.monotonic() - begun

    def _ruled(self, index: int) -> list[_Ruled]:
        if self._plumber is None:
            self._plumber = pdfplumber.open(self._path)
        page = drawing(self._plumber, index)
        try:
            return [_Ruled(table.bbox, table.cells) for table in page.find_tables()]
        finally:
            page.close()


def _may_hold_table(page: pypdfium2.PdfPage, text: pypdfium2.PdfTextPage) -> bool:
    left, bottom, _, _ = page.get_mediabox()
    upright = page.get_rotation() == 0 and abs(left) < 1 and abs(bottom) < 1
    if not upright or not text.count_chars() or raw.FPDFPage_CountObjects(page) > _OBJECT_LIMIT:
        return False
    paths = 0
    for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_PATH], max_depth=2):
        paths += 1 if item else 0
        if paths >= _MIN_RULINGS:
            return True
    return False


def _read(found: _Ruled, height: float, text: pypdfium2.PdfTextPage) -> Table | None:
    """A grid with at least two rows and columns and enough filled cells; anything else is a frame or a drawing."""
    columns = _edges([cell[0] for cell in found.cells])
    rows = _edges([cell[1] for cell in found.cells])
    if len(columns) < 2 or len(rows) < 2:
        return None
    grid: list[list[Cell]] = [[] for _ in rows]
    for left, top, right, bottom in sorted(found.cells, key=lambda cell: (cell[1], cell[0])):
        words = text.get_text_bounded(left - 1, height - bottom - 1, right + 1, height - top + 1)
        grid[_index(rows, top)].append(
            Cell(
                words,
                rows=max(_index(rows, bottom) - _index(rows, top), 1),
                columns=max(_index(columns, right) - _index(columns, left), 1),
            )
        )
    filled = sum(1 for row in grid for cell in row if cell.text.strip())
    if filled < _FILLED_SHARE * len(found.cells):
        return None
    left, top, right, bottom = found.bbox
    box = Box(left, height - bottom, right, height - top)
    return None if _cuts_lines(box, text) else Table(box, grid)


def _cuts_lines(box: Box, text: pypdfium2.PdfTextPage) -> bool:
    """Whether text stands right beside the grid: then it is only the ruled middle of a larger table."""
    beside = (
        text.get_text_bounded(box.left - _BESIDE, box.bottom, box.left - 1, box.top),
        text.get_text_bounded(box.right + 1, box.bottom, box.right + _BESIDE, box.top),
    )
    return any(char.isalnum() for strip in beside for char in strip)


def _edges(values: Sequence[float]) -> list[float]:
    """Distinct edges: values nearer than the tolerance are one."""
    edges: list[float] = []
    for value in sorted(values):
        if not edges or value - edges[-1] > _TOLERANCE:
            edges.append(value)
    return edges


def _index(edges: Sequence[float], value: float) -> int:
    """The number of the row or column that begins at `value`; the end of the last one is their count."""
    return bisect_left(edges, value - _TOLERANCE)
