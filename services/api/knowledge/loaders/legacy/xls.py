"""Excel workbooks of 1990 to 2003: each sheet's rows as Markdown, values as shown, dates in ISO form."""

from __future__ import annotations

import datetime
import io
import itertools
from collections.abc import Iterator
from typing import ClassVar

import xlrd

from services.api.domain.knowledge import Document, Place, Section, SourceFile
from services.api.knowledge.loaders.legacy.charsets import decoded
from services.api.knowledge.loaders.legacy.container import SIGNATURE, open_container
from services.api.knowledge.loaders.legacy.disguised import load_as, real_extension
from services.api.knowledge.loaders.reading.cells import is_default_sheet, shown_number
from services.api.knowledge.loaders.reading.cleaning import clean_line
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.rows import Row, row_sections
from services.foundation.errors import EncryptedFile, UnreadableFile

_ROW_LIMIT = 1_000_000
_REPORTED_ROWS = 1000
_ENCRYPTED = "encrypted"
_UNICODE = 80


class XlsLoader:
    """Reads .xls, from Excel 2 on."""

    extensions: ClassVar[frozenset[str]] = frozenset({".xls"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            extension = real_extension(file, "an Excel workbook")
            if extension != ".xls":
                return load_as(extension, file)
            sections, notes = _sheets(file)
            return document(file, sections, notes)


def _opened(file: SourceFile) -> xlrd.Book:
    """The workbook with its formats, which say which cells are merged; without them where they are damaged."""
    content = _stream(file)
    if not content:
        raise UnreadableFile(file=file.name.value, reason="the records of its workbook are damaged or cut off")
    try:
        return _book(content, with_formats=True)
    except xlrd.XLRDError as refused:
        if _ENCRYPTED in str(refused):
            raise EncryptedFile(file=file.name.value) from refused
        raise
    except Exception:  # noqa: BLE001 - whatever xlrd stumbles on in a format, the values may be sound
        return _book(content, with_formats=False)


def _stream(file: SourceFile) -> bytes:
    """The workbook's records. xlrd could take them out of the container itself, but refuses what Excel opens."""
    with file.path.open("rb") as handle:
        if handle.read(len(SIGNATURE)) != SIGNATURE:
            return file.path.read_bytes()
    with open_container(file) as container:
        return container.content("Workbook") or container.content("Book")


def _book(content: bytes, *, with_formats: bool) -> xlrd.Book:
    return xlrd.open_workbook(
        file_contents=content,
        logfile=io.StringIO(),
        formatting_info=with_formats,
        on_demand=True,
        ragged_rows=True,
    )


def _sheets(file: SourceFile) -> tuple[list[Section], list[str]]:
    sections: list[Section] = []
    notes: list[str] = []
    left = _ROW_LIMIT
    with _opened(file) as book:
        for number, name in enumerate(book.sheet_names()):
            if not left:
                notes.append(f"only the first {number} of {book.nsheets} sheets were read")
                break
            sheet = book.sheet_by_index(number)
            title = clean_line(_text(book, name))
            if sheet.nrows > left:
                notes.append(f"sheet {title!r}: only the first {left} rows were read")
            place = Place(sheet=title, heading=() if is_default_sheet(title) else (title,))
            rows = _rows(book, sheet, file)
            sections.extend(row_sections(itertools.islice(rows, left), place))
            left -= min(sheet.nrows, left)
            book.unload_sheet(number)
    return sections, notes


def _rows(book: xlrd.Book, sheet: xlrd.sheet.Sheet, file: SourceFile) -> Iterator[Row]:
    below = _Below(sheet)
    for number in range(sheet.nrows):
        shown = [_shown(book, cell) for cell in sheet.row(number)]
        below.fill(number, shown)
        while shown and not shown[-1]:
            shown.pop()
        if shown:
            yield Row(number + 1, shown)
        if number % _REPORTED_ROWS == 0:
            file.report(number, None)


class _Below:
    """Repeats a cell that is merged over several rows in the rows below, so that each can be read by itself."""

    def __init__(self, sheet: xlrd.sheet.Sheet) -> None:
        self._merged = sorted(
            (top, column, bottom) for top, bottom, column, _ in sheet.merged_cells if bottom - top > 1
        )
        self._open: dict[int, tuple[int, str]] = {}
        self._next = 0

    def fill(self, number: int, shown: list[str]) -> None:
        """Fill a row; only one with text of its own, so that empty rows still divide tables."""
        while self._next < len(self._merged) and self._merged[self._next][0] <= number:
            top, column, bottom = self._merged[self._next]
            self._next += 1
            if top == number and column < len(shown) and shown[column]:
                self._open[column] = (bottom, shown[column])
        if not any(shown):
            return
        for column, (bottom, text) in list(self._open.items()):
            if number >= bottom:
                del self._open[column]
            elif column >= len(shown) or not shown[column]:
                shown.extend([""] * (column + 1 - len(shown)))
                shown[column] = text


def _shown(book: xlrd.Book, cell: xlrd.sheet.Cell) -> str:
    """A value as a person sees it in the sheet."""
    match cell.ctype:
        case xlrd.XL_CELL_TEXT:
            return clean_line(_text(book, cell.value))
        case xlrd.XL_CELL_NUMBER:
            return shown_number(cell.value, _shape(book, cell))
        case xlrd.XL_CELL_DATE:
            return _date(cell.value, book.datemode)
        case xlrd.XL_CELL_BOOLEAN:
            return "TRUE" if cell.value else "FALSE"
        case xlrd.XL_CELL_ERROR:
            return str(xlrd.error_text_from_code.get(cell.value, ""))
        case _:
            return ""


def _text(book: xlrd.Book, text: str) -> str:
    """A text. Before Excel 97 it was bytes; where the file names no code page, xlrd takes them for Latin-1."""
    if book.biff_version >= _UNICODE or book.codepage is not None:
        return text
    return decoded(text.encode("latin-1", "replace"), None, None)


def _shape(book: xlrd.Book, cell: xlrd.sheet.Cell) -> str:
    """The format of a number."""
    if cell.xf_index is None or cell.xf_index >= len(book.xf_list):
        return ""
    found = book.format_map.get(book.xf_list[cell.xf_index].format_key)
    return str(found.format_str) if found is not None else ""


def _date(value: float, mode: int) -> str:
    try:
        moment: datetime.datetime = xlrd.xldate_as_datetime(value, mode)
    except (ValueError, OverflowError):
        return shown_number(value, "")
    if 0 < value < 1:
        return moment.time().isoformat(timespec="seconds")
    return moment.date().isoformat() if moment.time() == datetime.time() else moment.isoformat(" ", "seconds")
