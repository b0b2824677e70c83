"""A file read in parts, for the loaders of formats whose files have no end: rows, records, lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.knowledge.loaders.reading.failures import document

T = TypeVar("T")
_PART_SECTIONS = 40
_MOST_SECTIONS = 2000
_MOST_CHARS = 1_000_000
_REPORT_UNITS = 500


def parts_of(sections: Iterable[Section]) -> Iterator[Document]:
    """The sections some at a time; many of one place stay together, so that a splitter cuts them as one text.

    Sections without text are left out; without any text there is no part.
    """
    held: list[Section] = []
    size = 0
    for section in sections:
        is_new = len(held) >= _PART_SECTIONS and section.place != held[-1].place
        if is_new or len(held) >= _MOST_SECTIONS or size >= _MOST_CHARS:
            yield Document(tuple(held))
            held, size = [], 0
        if section.text and not section.text.isspace():
            held.append(section)
            size += len(section.text)
    if held:
        yield Document(tuple(held))


class Steps:
    """Counts what is done to a file, stage after stage, and tells each step: the count never begins anew."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._done = 0

    def take(self) -> None:
        """One more is done."""
        self._done += 1
        self.stay()

    def stay(self) -> None:
        """Tell that something goes on with the same one."""
        self._file.report(self._done, None)

    def over(self, units: Iterable[T]) -> Iterator[T]:
        """The same units; each is a step when the next one is asked for."""
        for unit in units:
            yield unit
            self.take()


def reported(file: SourceFile, units: Iterable[T]) -> Iterator[T]:
    """The same units; the file hears of every five hundredth that it is reached."""
    for number, unit in enumerate(units, start=1):
        if number % _REPORT_UNITS == 0:
            file.report(number, None)
        yield unit


def stated(
    file: SourceFile, sections: Iterable[Section], warnings: Sequence[str], *, empty: str = "", added: str = ""
) -> Iterator[Document]:
    """The sections in parts, then the warnings; they are looked at when all sections are read.

    Args:
        file: what is read.
        sections: in order.
        warnings: may grow while the sections are read.
        empty: why there may be no text; else the first warning says it.
        added: follows the warning that says it.

    Raises:
        EmptyFile: there is no text.
    """
    is_empty = True
    for part in parts_of(sections):
        is_empty = False
        yield part
    if is_empty:
        document(file, (), empty=empty or (f"{warnings[0]}{added}" if warnings else ""))
    yield Document((), tuple(warnings))


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
