"""A file read in parts, for the loaders of formats whose files have no end: rows, records, lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.knowledge.loaders.reading.failures import document

T = TypeVar("T")
_PART_SECTIONS = 40
_MOST_SECTIONS = 2000
_REPORT_UNITS = 500


def parts_of(sections: Iterable[Section]) -> Iterator[Document]:
    """The sections some at a time; some thousand of one place stay together, so that a splitter cuts them as one text.

    Sections without text are left out; without any text there is no part.
    """
    held: list[Section] = []
    for section in sections:
        is_new = len(held) >= _PART_SECTIONS and section.place != held[-1].place
        if is_new or len(held) >= _MOST_SECTIONS:
            yield Document(tuple(held))
            held = []
        if section.text and not section.text.isspace():
            held.append(section)
    if held:
        yield Document(tuple(held))


def reported(file: SourceFile, units: Iterable[T]) -> Iterator[T]:
    """The same units; the file hears of every five hundredth that it is reached."""
    for number, unit in enumerate(units, start=1):
        if number % _REPORT_UNITS == 0:
            file.report(number, None)
        yield unit


def joined(file: SourceFile, parts: Iterable[Document]) -> Document:
    """All parts as one document.

    Raises:
        EmptyFile: there is no text in any of them.
    """
    sections: list[Section] = []
    warnings: list[str] = []
    for part in parts:
        sections += part.sections
        warnings += part.warnings
    return document(file, sections, warnings)
