"""Excel workbooks: each sheet's rows as Markdown with the header repeated; values as shown, dates in ISO form."""

from __future__ import annotations

import datetime
import io
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
from services.api.knowledge.loaders.reading.rows import Row, row_sections
from services.api.knowledge.loaders.reading.streams import Steps, joined, parts_of

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
    steps = Steps(file)
    with _HeardFile(file, steps) as handle:
        book = openpyxl.load_workbook(handle, read_only=True, data_only=True, keep_links=False)
        try:
            for sheet in book.worksheets:
                sheet.reset_dimensions()
                rows = steps.over(_rows(sheet.iter_rows()))
                name = clean_line(sheet.title)
                place = Place(sheet=name, heading=() if is_default_sheet(name) else (name,))
                yield from row_sections(itertools.islice(rows, _ROW_LIMIT), place)
                if next(rows, None) is not None:
                    notes.append(f"sheet {name!r}: only the first {_ROW_LIMIT} rows were read")
        finally:
            book.close()


class _HeardFile(io.BufferedReader):
    """A file of which each read is a step: openpyxl reads all shared strings before it gives the first row."""

    def __init__(self, file: SourceFile, steps: Steps) -> None:
        super().__init__(io.FileIO(file.path))
        self._steps = steps

    def read(self, size: int | None = -1, /) -> bytes:
        self._steps.take()
        return super().read(size)


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
