"""Collects a document's sections in reading order and gives each its place: page, sheet, heading path."""

from __future__ import annotations

import re

from services.api.domain.knowledge import Place, Section
from services.api.knowledge.loaders.reading.cleaning import HAN, clean, clean_code, clean_line
from services.api.knowledge.loaders.reading.tables import Cell, render

_TITLE_CHARS = 80
_DIGITS = "〇零一二三四五六七八九十百0-9"
_NUMBERED = (
    (1, re.compile(f"第[{_DIGITS}]{{1,5}}[编篇部](?:分)?(?=[ {HAN}]|$)")),
    (2, re.compile(f"第[{_DIGITS}]{{1,5}}章(?=[ {HAN}]|$)")),
    (3, re.compile(f"第[{_DIGITS}]{{1,5}}节(?=[ {HAN}]|$)")),
    (4, re.compile("[一二三四五六七八九十]{1,3}、")),
)
_NO_TITLE = re.compile(r"[。；;，,：:！!？?]|\.{3}|…|\s\d+$")


class Outline:
    """Takes headings, paragraphs and tables as they come; gives sections.

    A heading's text is kept as text before what follows it, so that nothing is lost, and as the place of all below it.
    """

    def __init__(self, *, title: str = "", page: int | None = None) -> None:
        self._sections: list[Section] = []
        self._path: list[tuple[int, str]] = [(0, _titled(title))] if title else []
        self._pending: list[str] = []
        self._pending_level = 0
        self._page = page

    def turn_to(self, page: int) -> None:
        """What follows stands on another page."""
        self._flush()
        self._page = page

    def heading(self, level: int, text: str) -> None:
        """Open a section; sections of the same or a deeper level end."""
        line = clean_line(text)
        if not line:
            return
        if self._pending and level <= self._pending_level:
            self._flush()
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self._path.append((level, _titled(line)))
        self._pending.append(line)
        self._pending_level = level

    def paragraph(self, text: str) -> None:
        """Add running text."""
        self._add(clean(text))

    def code(self, text: str) -> None:
        """Add text whose line ends and indentation count."""
        self._add(clean_code(text), whole=True)

    def table(self, rows: list[list[Cell]]) -> None:
        """Add a table."""
        for block in render(rows):
            self._add(block.text, whole=block.is_table)

    def taken(self) -> list[Section]:
        """The sections that are whole, in order; they are not given again."""
        found, self._sections = self._sections, []
        return found

    def finish(self) -> list[Section]:
        """All sections in order, but those that were taken."""
        self._flush()
        return self._sections

    def _add(self, text: str, *, whole: bool = False) -> None:
        if text:
            self._flush()
            self._sections.append(Section(text, self._place(), whole=whole))

    def _flush(self) -> None:
        if self._pending:
            self._sections.append(Section("\n".join(self._pending), self._place()))
            self._pending = []

    def _place(self) -> Place:
        return Place(page=self._page, heading=tuple(text for _, text in self._path))


def numbered_level(line: str) -> int | None:
    """The level of a Chinese numbered title that stands on its own line (第一章 …, 一、…), or None."""
    if len(line) > 40 or _NO_TITLE.search(line):
        return None
    return next((level for level, pattern in _NUMBERED if pattern.match(line)), None)


def _titled(text: str) -> str:
    return text if len(text) <= _TITLE_CHARS else f"{text[: _TITLE_CHARS - 1]}…"
