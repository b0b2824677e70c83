"""The loader for .ppt: slide after slide, each with its title, its texts and tables, and the speaker's notes."""

from __future__ import annotations

from typing import ClassVar

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.knowledge.loaders.legacy.container import open_container
from services.api.knowledge.loaders.legacy.disguised import load_as, real_extension
from services.api.knowledge.loaders.legacy.powerpoint.presentation import Presentation, SlideParts
from services.api.knowledge.loaders.legacy.powerpoint.shapes import (
    CENTER_TITLE,
    FOOTER,
    NOTES,
    TITLE,
    Page,
    Text,
    listed_texts,
    read_page,
)
from services.api.knowledge.loaders.legacy.story import grid
from services.api.knowledge.loaders.reading.cleaning import clean
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.outline import Outline
from services.foundation.errors import EncryptedFile

_MAIN, _USER = "PowerPoint Document", "Current User"
_TITLES = frozenset({TITLE, CENTER_TITLE})
_DUAL = "PP97_DUALSTORAGE/"
_UNLISTED = "the list of slides is damaged; the slides are in the order in which the file keeps them"


class PptLoader:
    """Reads .ppt, from PowerPoint 97 on."""

    extensions: ClassVar[frozenset[str]] = frozenset({".ppt"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            extension = real_extension(file, "a PowerPoint presentation")
            if extension != ".ppt":
                return load_as(extension, file)
            reader = _Reader(_presentation(file))
            sections = reader.read(file)
            empty = f"{reader.warnings[0]}; there is no other text in it" if reader.warnings else ""
            return document(file, sections, reader.warnings, empty=empty)


def _presentation(file: SourceFile) -> Presentation:
    """The newer of two copies, where a file was saved for two versions of PowerPoint."""
    with open_container(file) as container:
        folder = _DUAL if _DUAL + _MAIN in container else ""
        user = container.content(folder + _USER)
        presentation = Presentation(container.content(folder + _MAIN), user)
    if presentation.is_encrypted(user):
        raise EncryptedFile(file=file.name.value)
    return presentation


class _Reader:
    def __init__(self, presentation: Presentation) -> None:
        self._presentation = presentation
        self._footers: set[str] = set()
        self.warnings: list[str] = []

    def read(self, file: SourceFile) -> list[Section]:
        slides, is_listed = self._presentation.slides()
        if not is_listed:
            self.warnings.append(_UNLISTED)
        sections: list[Section] = []
        pictures = 0
        for number, parts in enumerate(slides, start=1):
            outline = Outline(page=number)
            pictures += self._slide(parts, outline)
            sections.extend(outline.finish())
            file.report(number, len(slides))
        if pictures:
            self.warnings.append(f"text inside pictures was not read; the slides hold {pictures} of them")
        return sections

    def _slide(self, parts: SlideParts, outline: Outline) -> int:
        """Add a slide; the number of pictures on it."""
        stream = self._presentation.stream
        page = read_page(stream, parts.slide, listed_texts(stream, parts.listed))
        for piece in page.pieces:
            if isinstance(piece, Text) and piece.kind in _TITLES:
                outline.heading(1, piece.text)
        for piece in page.pieces:
            if not isinstance(piece, Text):
                outline.table(grid(piece))
            elif piece.kind not in _TITLES:
                self._paragraph(piece, outline)
        _notes(read_page(stream, parts.notes), outline)
        return page.pictures

    def _paragraph(self, text: Text, outline: Outline) -> None:
        if text.kind == FOOTER:
            if text.text in self._footers:
                return
            self._footers.add(text.text)
        outline.paragraph(text.text)


def _notes(page: Page, outline: Outline) -> None:
    texts = [piece.text for piece in page.pieces if isinstance(piece, Text) and piece.kind == NOTES]
    if any(map(clean, texts)):
        outline.heading(2, "Notes")
        for text in texts:
            outline.paragraph(text)
