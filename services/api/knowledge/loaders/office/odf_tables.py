"""Tables of OpenDocument files: repeated rows and cells written out within limits. `odt`, `ods`, `odp` call it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from lxml.etree import _Element as Element

from services.api.knowledge.loaders.office.odf_text import OFFICE, TABLE, count, text_of
from services.api.knowledge.loaders.office.package import below
from services.api.knowledge.loaders.reading.cleaning import clean_line
from services.api.knowledge.loaders.reading.rows import Row
from services.api.knowledge.loaders.reading.tables import Cell

_REPEAT_LIMIT = 100
_COLUMN_LIMIT = 1000
_REPEATED_CHARS = 1000
_SHEET_ROW_LIMIT = 10_000_000
_ROW, _CELL, _COVERED = f"{TABLE}table-row", f"{TABLE}table-cell", f"{TABLE}covered-table-cell"
_GROUPS = frozenset({f"{TABLE}table-header-rows", f"{TABLE}table-rows", f"{TABLE}table-row-group"})
_ROWS_REPEATED, _COLUMNS_REPEATED = f"{TABLE}number-rows-repeated", f"{TABLE}number-columns-repeated"
_VALUES = tuple(f"{OFFICE}{name}" for name in ("string-value", "date-value", "time-value", "boolean-value", "value"))


@dataclass(slots=True)
class Budget:
    """How much all tables of a file may still hold once their repetitions are written out."""

    cells: int
    chars: int = 20_000_000

    def take(self, cells: int, chars: int) -> bool:
        """Whether a row still fits; from the first that does not, none does."""
        self.cells -= cells
        self.chars -= chars
        return not self.is_spent

    @property
    def is_spent(self) -> bool:
        """Whether something was left out."""
        return self.cells < 0 or self.chars < 0


def table_rows(table: Element, asides: list[Element], budget: Budget) -> list[list[Cell]]:
    """The cells of a table in a text or on a slide; those that a merged cell covers are left out."""
    rows: list[list[Cell]] = []
    for row in _rows(table):
        cells = list(islice(_cells(row, asides), _COLUMN_LIMIT))
        chars = sum(len(cell.text) * cell.rows for cell in cells)
        for _ in range(count(row, _ROWS_REPEATED, _REPEAT_LIMIT) if chars else 1):
            if not budget.take(len(cells), chars):
                return rows
            rows.append(cells)
    return rows


def sheet_rows(table: Element, asides: list[Element], budget: Budget) -> Iterator[Row]:
    """The rows of a worksheet that hold text, with their numbers; what a merged cell covers is empty."""
    number = 1
    for row in _rows(table):
        texts = _texts(row, asides)
        height = count(row, _ROWS_REPEATED, _SHEET_ROW_LIMIT)
        for place in range(number, number + min(height, _REPEAT_LIMIT) if texts else number):
            if not budget.take(len(texts), sum(map(len, texts))):
                return
            yield Row(place, texts)
        number += height


def _rows(table: Element) -> Iterator[Element]:
    return (element for element in below(table, _GROUPS) if element.tag == _ROW)


def _cells(row: Element, asides: list[Element]) -> Iterator[Cell]:
    for element in row.iterchildren(_CELL):
        text = text_of(element, asides)
        # A long text is not repeated in all the rows that it reaches down to.
        rows = count(element, f"{TABLE}number-rows-spanned", _COLUMN_LIMIT if len(text) <= _REPEATED_CHARS else 1)
        cell = Cell(text, rows, count(element, f"{TABLE}number-columns-spanned", _COLUMN_LIMIT))
        for _ in range(count(element, _COLUMNS_REPEATED, _COLUMN_LIMIT)):
            yield cell


def _texts(row: Element, asides: list[Element]) -> list[str]:
    """The shown values of a worksheet's row, without empty ones at its end."""
    texts: list[str] = []
    for element in row.iterchildren(_CELL, _COVERED):
        text = clean_line(text_of(element, asides)) or _value(element) if element.tag == _CELL else ""
        texts += [text] * count(element, _COLUMNS_REPEATED, max(_COLUMN_LIMIT - len(texts), 0))
    while texts and not texts[-1]:
        texts.pop()
    return texts


def _value(cell: Element) -> str:
    """The value of a cell whose shown text a program has not written."""
    return next((value for name in _VALUES if (value := cell.get(name))), "")
