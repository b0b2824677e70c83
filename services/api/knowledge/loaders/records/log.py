"""Logs: lines in groups that keep a message and its stack trace together; the place is the line numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import ClassVar

from services.api.domain.knowledge import Document, Place, Section, SourceFile
from services.api.knowledge.loaders.reading.cleaning import clean_code
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.encodings import detect, open_text
from services.api.knowledge.loaders.reading.failures import check_size, reading
from services.api.knowledge.loaders.reading.streams import joined, parts_of

_COLOURS = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]")
_CONTINUES = re.compile(r"\s|Traceback|Caused by|\.\.\.|\w{1,80}(?:Error|Exception)\b|$")
_GROUP_CHARS = 600
_MOST_CHARS = 3000
_REPORT_LINES = 1000


class LogLoader:
    """Reads .log as a stream."""

    extensions: ClassVar[frozenset[str]] = frozenset({".log"})

    def load(self, file: SourceFile) -> Document:
        return joined(file, self.parts(file))

    def parts(self, file: SourceFile) -> Iterator[Document]:
        with reading(file):
            check_size(file)
            require_text(file)
            encoding = detect(file)
            with open_text(file, encoding) as handle:
                yield from parts_of(_groups(_reported(file, handle)))
            yield Document((), encoding.warnings)


def without_colours(text: str) -> str:
    """Drop what sets colours and moves the cursor of a terminal."""
    return _COLOURS.sub("", text)


def _reported(file: SourceFile, lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if number % _REPORT_LINES == 0:
            file.report(number, None)
        yield without_colours(line).rstrip("\r\n")


def _groups(lines: Iterable[str]) -> Iterator[Section]:
    held: list[str] = []
    first, size = 1, 0
    for number, line in enumerate(lines, start=1):
        full = size + len(line) > _GROUP_CHARS
        if held and full and (size > _MOST_CHARS or not _CONTINUES.match(line)):
            yield _section(held, first)
            held, first, size = [], number, 0
        held.append(line)
        size += len(line) + 1
    if held:
        yield _section(held, first)


def _section(lines: list[str], first: int) -> Section:
    place = Place(row=first, last_row=first + len(lines) - 1)
    return Section(clean_code("\n".join(lines)), place, whole=True)
