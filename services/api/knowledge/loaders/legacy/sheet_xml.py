"""The XML that Excel 2003 reads and many systems export as .xls: worksheets, rows, cells. `disguised` calls it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from lxml import etree
from lxml.etree import _Element as Element

from services.api.domain.knowledge import Document, Place, Section, SourceFile
from services.api.knowledge.loaders.reading.cleaning import clean_line
from services.api.knowledge.loaders.reading.failures import document, reading
from services.api.knowledge.loaders.reading.rows import Row, row_sections

_SPACE = "{urn:schemas-microsoft-com:office:spreadsheet}"
_SHEET, _ROW, _CELL, _VALUE = f"{_SPACE}Worksheet", f"{_SPACE}Row", f"{_SPACE}Cell", f"{_SPACE}Data"
_INDEX, _NAME, _TYPE, _ACROSS = f"{_SPACE}Index", f"{_SPACE}Name", f"{_SPACE}Type", f"{_SPACE}MergeAcross"
_ROW_LIMIT = 200_000
_COLUMN_LIMIT = 1000
_DEFAULT_SHEET = re.compile(r"(?i)(sheet|工作表)\s*\d*")
_MIDNIGHT = re.compile(r"T00:00:00(?:\.0+)?$")


class SheetXmlLoader:
    """Reads Excel's XML of 2003, whatever the file is called."""

    extensions: ClassVar[frozenset[str]] = frozenset()

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            sections: list[Section] = []
            notes: list[str] = []
            for name, rows in _sheets(file):
                if len(rows) > _ROW_LIMIT:
                    notes.append(f"sheet {name!r}: only the first {_ROW_LIMIT} rows were read")
                place = Place(sheet=name, heading=() if _DEFAULT_SHEET.fullmatch(name) else (name,))
                sections.extend(row_sections(rows[:_ROW_LIMIT], place))
            return document(file, sections, notes)


def _sheets(file: SourceFile) -> Iterator[tuple[str, list[Row]]]:
    """Name and rows of each worksheet; a row more than the limit shows that there are more."""
    rows: list[Row] = []
    number = 0
    for element in _elements(file):
        if element.tag == _SHEET:
            yield clean_line(element.get(_NAME, "")), rows
            rows, number = [], 0
        elif len(rows) <= _ROW_LIMIT:
            number = _index(element, number + 1)
            cells = _cells(element)
            if cells:
                rows.append(Row(number, cells))
        element.clear()


def _elements(file: SourceFile) -> Iterator[Element]:
    """The rows and sheets as they end. Entities are not resolved; exports that forget to escape an "&" are read on."""
    with file.path.open("rb") as handle:
        found = etree.iterparse(
            handle,
            events=("end",),
            tag=(_SHEET, _ROW),
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            recover=True,
        )
        for _, element in found:
            yield element


def _cells(row: Element) -> list[str]:
    cells: list[str] = []
    column = 0
    for cell in row.iterchildren(_CELL):
        column = min(_index(cell, column + 1), _COLUMN_LIMIT)
        value = cell.find(_VALUE)
        text = _shown(value) if value is not None else ""
        if text:
            cells.extend([""] * (column - 1 - len(cells)))
            cells[column - 1 :] = [text]
        column += _number(cell.get(_ACROSS), 0)
    return cells


def _shown(value: Element) -> str:
    text = "".join(value.itertext())
    match value.get(_TYPE):
        case "DateTime":
            return _MIDNIGHT.sub("", text).partition(".")[0].replace("T", " ")
        case "Boolean":
            return "TRUE" if text.strip() == "1" else "FALSE"
        case "Number":
            return _plain_number(text.strip())
        case _:
            return clean_line(text)


def _plain_number(text: str) -> str:
    try:
        value = float(text)
    except ValueError:
        return text
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.10g}"


def _index(element: Element, otherwise: int) -> int:
    """Where a row or cell says it stands; never before where it would stand otherwise."""
    return max(_number(element.get(_INDEX), otherwise), otherwise)


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 9 else otherwise
