"""Excel workbooks: each sheet's rows as Markdown with the header repeated; values as shown, dates in ISO form."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol

import openpyxl

from services.api.domain.knowledge import Document, Place, Section, SourceFile
from services.api.knowledge.loaders.reading.archives import check_archive
from services.api.knowledge.loaders.reading.cells import is_default_sheet, shown_number
from services.api.knowledge.loaders.reading.cleaning import clean_line
from services.api.knowledge.loaders.reading.content_type import require_office
from services.api.knowledge.loaders.reading.failures import check_size, reading
from services.api.knowledge.loaders.reading.rows import REPORT_ROWS, Row, row_sections
from services.api.knowledge.loaders.reading.streams import joined, parts_of

_EXPECTED = "an Excel workbook"
_ROW_LIMIT = 200_000


class _Shown(Protocol):
    @property
    def value(self) -> object: ...

    @property
    def number_format(self) -> str: ...


class XlsxLoader:
    """Reads .xlsx."""

    extensions: ClassVar[frozenset[str]] = frozenset({".xlsx"})

    def load(self, file: SourceFile) -> Document:
        return joined(file, self.parts(file))

    def parts(self, file: SourceFile) -> Iterator[Document]:
        with reading(file):
            check_size(file)
            require_office(file, _EXPECTED)
            check_archive(file, "xl/", _EXPECTED)
            notes: list[str] = []
            yield from parts_of(_sheets(file, notes))
            yield Document((), tuple(notes))


def _sheets(file: SourceFile, notes: list[str]) -> Iterator[Section]:
    """The sections of all sheets; what was not read is added to `notes`."""
    told = _Told(file)
    with file.path.open("rb") as handle:
        book = openpyxl.load_workbook(handle, read_only=True, data_only=True, keep_links=False)
        try:
            for sheet in book.worksheets:
                sheet.reset_dimensions()
                rows = told.over(_rows(sheet.iter_rows()))
                name = clean_line(sheet.title)
                place = Place(sheet=name, heading=() if is_default_sheet(name) else (name,))
                yield from row_sections(itertools.islice(rows, _ROW_LIMIT), place)
                if next(rows, None) is not None:
                    notes.append(f"sheet {name!r}: only the first {_ROW_LIMIT} rows were read")
        finally:
            book.close()


class _Told:
    """Tells how many rows were read, of all sheets together."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._rows = 0

    def over(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            self._rows += 1
            if self._rows % REPORT_ROWS == 0:
                self._file.report(self._rows, None)
            yield row


def _rows(rows: Iterator[Sequence[_Shown]]) -> Iterator[Row]:
    for number, row in enumerate(rows, start=1):
        shown = [_shown(cell) for cell in row]
        while shown and not shown[-1]:
            shown.pop()
        if shown:
            yield Row(number, shown)


def _shown(cell: _Shown) -> str:
    """A value as a person sees it in the sheet."""
    value = cell.value
    match value:
        case None:
            return ""
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return shown_number(value, str(cell.number_format or ""))
        case datetime.datetime():
            midnight = value.time() == datetime.time()
            return value.date().isoformat() if midnight else value.isoformat(sep=" ", timespec="seconds")
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return clean_line(str(value))
