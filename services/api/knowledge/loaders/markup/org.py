"""Org: stars are headings; blocks, tables and lists kept; drawers, comments and keywords without words dropped."""

from __future__ import annotations

import re
from typing import ClassVar

from services.api.domain.knowledge import Document, SourceFile
from services.api.knowledge.loaders.markup.text_tables import bar_rows
from services.api.knowledge.loaders.reading.cleaning import join_lines
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.encodings import read_text
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.outline import Outline
from services.api.knowledge.loaders.reading.tables import Cell

_HEADING = re.compile(r"(\*{1,30})\s+(.*)")
_STATE = re.compile(r"(?:TODO|DONE|NEXT|WAITING|CANCELLED|CANCELED|HOLD)\s+")
_PRIORITY = re.compile(r"\[#[A-Z0-9]\]\s*")
_TAGS = re.compile(r"\s+:[\w@#%:]{1,200}:$")
_KEYWORD = re.compile(r"\s*#\+(\w{1,40})(?:\[[^\]]{0,100}\])?:\s*(.*)")
_BEGIN = re.compile(r"\s*#\+begin_(\w{1,40})", re.IGNORECASE)
_DRAWER = re.compile(r"\s*:[\w-]{1,60}:\s*$")
_DRAWER_END = re.compile(r"\s*:END:\s*$", re.IGNORECASE)
_ITEM = re.compile(r"(?:[-+]|\d{1,4}[.)]|\*(?=\s))\s+")
_COMMENT = re.compile(r"\s*#(?:\s|$)")
_RULE = re.compile(r"\s*-{5,}$")
_CODE = frozenset({"src", "example", "export"})
_SHOWN_KEYWORDS = frozenset({"author", "date", "subtitle", "caption", "description", "keywords", "email"})
_LINK = re.compile(r"\[\[([^\[\]\n]{1,2000})\](?:\[([^\[\]\n]{1,2000})\])?\]")
_EMPHASIS = re.compile(r"(?<![\w*/_=~+])([*/_=~+])(?=\S)([^\n]{1,200}?)(?<=\S)\1(?![\w*/_=~+])", re.ASCII)
_TARGET = re.compile(r"<<[^<>\n]{1,200}>>")


class OrgLoader:
    """Reads .org."""

    extensions: ClassVar[frozenset[str]] = frozenset({".org"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            require_text(file)
            text, warnings = read_text(file)
            page = _Page(text)
            page.read()
            return document(file, page.outline.finish(), (*warnings, *page.warnings))


class _Page:
    """The lines and the place among them."""

    def __init__(self, text: str) -> None:
        self.outline = Outline()
        self.warnings: list[str] = []
        self._lines = text.removeprefix("\ufeff").splitlines()
        self._at = 0

    def read(self) -> None:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if not line.strip() or _RULE.match(line):
                self._at += 1
            elif heading := _HEADING.match(line):
                self._heading(len(heading[1]), heading[2])
            elif not self._special(line):
                self._running_text()

    def _special(self, line: str) -> bool:
        """Take a block, keyword, drawer, comment, table or literal line, if it is one."""
        if begin := _BEGIN.match(line):
            self._block(begin[1].lower())
        elif keyword := _KEYWORD.match(line):
            self._keyword(keyword[1].lower(), keyword[2])
        elif _DRAWER.match(line):
            self._until(_DRAWER_END)
        elif _COMMENT.match(line):
            self._at += 1
        elif line.lstrip().startswith("|"):
            rows = bar_rows(self._run("|"))
            self.outline.table([[Cell(_words(cell.text)) for cell in row] for row in rows])
        elif line.lstrip().startswith(": "):
            self.outline.code("\n".join(literal.lstrip()[2:] for literal in self._run(":")))
        else:
            return False
        return True

    def _heading(self, level: int, title: str) -> None:
        self._at += 1
        title = _PRIORITY.sub("", _STATE.sub("", _TAGS.sub("", title.strip()), count=1), count=1)
        self.outline.heading(level, _words(title))

    def _keyword(self, name: str, text: str) -> None:
        self._at += 1
        if name == "title":
            self.outline.heading(0, _words(text))
        elif name in _SHOWN_KEYWORDS and text:
            self.outline.paragraph(f"{name}: {_words(text)}")
        elif name == "include":
            self.warnings.append(f"what it includes was not read: {text}")

    def _block(self, kind: str) -> None:
        lines = self._until(re.compile(rf"\s*#\+end_{re.escape(kind)}", re.IGNORECASE))
        if kind in _CODE:
            self.outline.code("\n".join(line.removeprefix(",") for line in lines))
        elif kind != "comment":
            self.outline.paragraph(_words("\n".join(lines)))

    def _until(self, end: re.Pattern[str]) -> list[str]:
        """The lines between this one and the one that ends it, which may be missing."""
        self._at += 1
        begun = self._at
        while self._at < len(self._lines) and not end.match(self._lines[self._at]):
            if _HEADING.match(self._lines[self._at]):
                return self._lines[begun : self._at]
            self._at += 1
        self._at += 1
        return self._lines[begun : self._at - 1]

    def _run(self, mark: str) -> list[str]:
        begun = self._at
        while self._at < len(self._lines) and self._lines[self._at].lstrip().startswith(mark):
            self._at += 1
        return self._lines[begun : self._at]

    def _running_text(self) -> None:
        """A paragraph or a list: a line joins the one above it unless it opens an item."""
        items: list[list[str]] = []
        begun = self._at
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if self._at > begun and (not line.strip() or _ends_text(line)):
                break
            if not items or _ITEM.match(line.lstrip()):
                items.append([])
            items[-1].append(line)
            self._at += 1
        self.outline.paragraph(_words("\n".join(map(join_lines, items))))


def _ends_text(line: str) -> bool:
    begins = line.lstrip()
    return begins.startswith(("|", "#+", ": ")) or bool(_HEADING.match(line) or _DRAWER.match(line))


def _words(text: str) -> str:
    """Links as their description, emphasis without marks."""
    text = _TARGET.sub("", _LINK.sub(lambda found: found[2] or found[1], text))
    return _EMPHASIS.sub(r"\2", text)
