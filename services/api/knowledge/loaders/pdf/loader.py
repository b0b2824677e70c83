"""PDF → Document: text by pdfium in the file's reading order, tables by pdfplumber, scans by OCR, no running titles."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from typing import ClassVar

import pypdfium2

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.knowledge.loaders.pdf.endless import EndlessFile, check_endless
from services.api.knowledge.loaders.pdf.furniture import Furniture
from services.api.knowledge.loaders.pdf.pages import Page, Piece, page_lines
from services.api.knowledge.loaders.pdf.paragraphs import paragraphs, usual_margin
from services.api.knowledge.loaders.pdf.progress import PageSteps
from services.api.knowledge.loaders.pdf.scans import ScanReader, Unread
from services.api.knowledge.loaders.pdf.sight import Sight, needed_sight
from services.api.knowledge.loaders.pdf.tables import TableFinder
from services.api.knowledge.loaders.pictures.lines import Paragraph
from services.api.knowledge.loaders.reading.content_type import require_pdf
from services.api.knowledge.loaders.reading.failures import check_size, reading
from services.api.knowledge.loaders.reading.outline import Outline, numbered_level
from services.api.knowledge.loaders.reading.streams import joined, stated
from services.foundation.errors import EncryptedFile, UnreadableFile

log = logging.getLogger(__name__)
_PAGE_LIMIT = 5000
_EMPTY = "nothing is drawn on its pages"

# pdfium keeps process-wide state and crashes when two threads are inside it.
_PDFIUM = threading.Lock()


class PdfLoader:
    """Reads .pdf. Only one thread of a process is inside pdfium; others may recognise text in pictures meanwhile."""

    extensions: ClassVar[frozenset[str]] = frozenset({".pdf"})

    def load(self, file: SourceFile) -> Document:
        return joined(file, self.parts(file))

    def parts(self, file: SourceFile) -> Iterator[Document]:
        """All pages are read before the first part: what repeats on them is told by comparing them."""
        with reading(file):
            check_size(file)
            require_pdf(file)
            unread, steps = Unread(), PageSteps(file)
            with _PDFIUM:
                pages = _read_pages(file, unread, steps)
            pages = ScanReader(file, _PDFIUM, unread, steps).complete(pages)
            warnings = unread.sentences()
            yield from stated(file, _sections(pages, steps), warnings, empty="; ".join(warnings) or _EMPTY)


def _sections(pages: Sequence[Page], steps: PageSteps) -> Iterator[Section]:
    furniture = Furniture.of([page.lines for page in pages])
    margin = usual_margin([line for page in pages for line in page.pieces if isinstance(line, str)])
    outline = Outline(title=furniture.title)
    for page in pages:
        outline.turn_to(page.number)
        _add_page(outline, page, furniture, margin)
        yield from outline.taken()
        steps.take()
    yield from outline.finish()


def _read_pages(file: SourceFile, unread: Unread, steps: PageSteps) -> list[Page]:
    try:
        check_endless(file.path, steps.take)
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
        steps.begin(count)
        pages = list(_readable(pdf, finder, unread, steps))
        if unread.damaged and not pages:
            raise UnreadableFile(file=file.name.value, reason="all its pages are damaged")
        return pages


def _readable(pdf: pypdfium2.PdfDocument, finder: TableFinder, unread: Unread, steps: PageSteps) -> Iterator[Page]:
    """The pages that pdfium can load. Those whose picture is still to be read take their step when that is done."""
    for index in range(len(pdf)):
        try:
            page = _read_page(pdf, index, finder)
        except pypdfium2.PdfiumError:
            log.info("page %d is damaged", index + 1, exc_info=True)
            unread.damaged.append(index + 1)
            steps.take(2)  # it will not be cut
            continue
        yield page
        if page.sight is Sight.UNNEEDED:
            steps.take()


def _read_page(pdf: pypdfium2.PdfDocument, index: int, finder: TableFinder) -> Page:
    page = pdf[index]
    try:
        text = page.get_textpage()
        try:
            return Page(index + 1, page_lines(text, finder.find(index, page, text)), needed_sight(page, text))
        finally:
            text.close()
    finally:
        page.close()


def _add_page(outline: Outline, page: Page, furniture: Furniture, margin: int) -> None:
    lines: list[str] = []
    for piece in (*_without(furniture, page.pieces, outline), None):
        if isinstance(piece, str):
            lines.append(piece)
            continue
        _add_lines(outline, lines, margin)
        lines = []
        if isinstance(piece, Paragraph):
            _add_paragraph(outline, piece.text)
        elif piece is not None:
            outline.table(piece.rows)


def _without(furniture: Furniture, pieces: Sequence[Piece], outline: Outline) -> Iterator[Piece]:
    """The pieces that are no furniture; what repeats is added where it is met for the first time."""
    for piece in pieces:
        line = piece.text if isinstance(piece, Paragraph) else piece
        if not isinstance(line, str) or not furniture.holds(line):
            yield piece
        elif furniture.first_time(line):
            outline.paragraph(line)


def _add_lines(outline: Outline, lines: Sequence[str], margin: int) -> None:
    for paragraph in paragraphs(lines, margin):
        _add_paragraph(outline, paragraph)


def _add_paragraph(outline: Outline, paragraph: str) -> None:
    level = numbered_level(paragraph)
    if level is None:
        outline.paragraph(paragraph)
    else:
        outline.heading(level, paragraph)
