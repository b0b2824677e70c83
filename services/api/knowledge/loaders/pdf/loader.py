"""PDF → Document: text by pdfium in the file's reading order, tables by pdfplumber, running titles taken out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import ClassVar

import pypdfium2

from services.api.domain.knowledge import Document, SourceFile
from services.api.knowledge.loaders.pdf.endless import EndlessFile, check_endless
from services.api.knowledge.loaders.pdf.furniture import Furniture
from services.api.knowledge.loaders.pdf.pages import Page, Table, page_lines
from services.api.knowledge.loaders.pdf.paragraphs import paragraphs, usual_margin
from services.api.knowledge.loaders.pdf.tables import TableFinder
from services.api.knowledge.loaders.reading.content_type import require_pdf
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.outline import Outline, numbered_level
from services.foundation.errors import EncryptedFile, UnreadableFile

_PAGE_LIMIT = 5000
_NAMED_PAGES = 20
_SCAN = "its pages have no text layer; they look like scans, and reading text from pictures (OCR) is not available yet"

# pdfium keeps process-wide state and crashes when two threads are inside it.
_PDFIUM = threading.Lock()


class PdfLoader:
    """Reads .pdf. One file at a time per process, because pdfium is not thread-safe."""

    extensions: ClassVar[frozenset[str]] = frozenset({".pdf"})

    def load(self, file: SourceFile) -> Document:
        with reading(file), _PDFIUM:
            check_size(file)
            require_pdf(file)
            pages = _read_pages(file)
        furniture = Furniture.of([page.lines for page in pages])
        margin = usual_margin([line for page in pages for line in page.lines])
        outline = Outline(title=furniture.title)
        with reading(file):
            for page in pages:
                outline.turn_to(page.number)
                _add_page(outline, page, furniture, margin)
        silent = [page.number for page in pages if not page.pieces]
        return document(file, outline.finish(), _warnings(silent), empty=_SCAN)


def _read_pages(file: SourceFile) -> list[Page]:
    try:
        check_endless(file.path)
    except EndlessFile as refused:
        raise UnreadableFile(file=file.name.value, reason=str(refused)) from refused
    try:
        pdf = pypdfium2.PdfDocument(file.path)
    except pypdfium2.PdfiumError as refused:
        if "password" in str(refused).lower():
            raise EncryptedFile(file=file.name.value) from refused
        raise
    with pdf, TableFinder(file.path) as finder:
        count = len(pdf)
        if count > _PAGE_LIMIT:
            raise UnreadableFile(file=file.name.value, reason=f"it has {count} pages, more than {_PAGE_LIMIT}")
        return [_read_page(pdf, index, finder) for index in range(count)]


def _read_page(pdf: pypdfium2.PdfDocument, index: int, finder: TableFinder) -> Page:
    page = pdf[index]
    try:
        text = page.get_textpage()
        try:
            return Page(index + 1, page_lines(text, finder.find(index, page, text)))
        finally:
            text.close()
    finally:
        page.close()


def _add_page(outline: Outline, page: Page, furniture: Furniture, margin: int) -> None:
    lines: list[str] = []
    for piece in (*page.pieces, None):
        if isinstance(piece, str):
            if not furniture.holds(piece):
                lines.append(piece)
            elif furniture.first_time(piece):
                outline.paragraph(piece)
            continue
        _add_lines(outline, lines, margin)
        lines = []
        if isinstance(piece, Table):
            outline.table(piece.rows)


def _add_lines(outline: Outline, lines: Sequence[str], margin: int) -> None:
    for paragraph in paragraphs(lines, margin):
        level = numbered_level(paragraph)
        if level is None:
            outline.paragraph(paragraph)
        else:
            outline.heading(level, paragraph)


def _warnings(silent: Sequence[int]) -> list[str]:
    named = [f"page {number} has no text layer (a scan?)" for number in silent[:_NAMED_PAGES]]
    rest = len(silent) - len(named)
    return [*named, f"{rest} more pages have no text layer"] if rest else named
