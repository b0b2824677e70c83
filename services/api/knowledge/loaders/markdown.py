"""Markdown: sections under their headings; tables, code and lists kept; links and pictures as their text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from markdown_it.token import Token

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.knowledge.loaders.reading.blocks import markdown_blocks
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.encodings import read_text
from services.api.knowledge.loaders.reading.failures import check_size, reading
from services.api.knowledge.loaders.reading.outline import Outline
from services.api.knowledge.loaders.reading.streams import Steps, joined, stated
from services.api.knowledge.loaders.reading.tables import Cell

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n((?:[^\n]{0,1000}\n){0,200}?)(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
_FRONT_TITLE = re.compile(r"(?m)^title[ \t]*:[ \t]*[\"']?([^\n\"']+)")
_DROPPED_HTML = ["script", "style", "iframe", "object", "svg", "template"]
_LINE_LIMIT_CHARS = 10_000
_ADDRESS = re.compile(r"(?m)^ {0,3}\[[^\[\]\n]{1,999}\]:[ \t]*\S[^\n]{0,2000}$")


class MarkdownLoader:
    """Reads .md and .markdown."""

    extensions: ClassVar[frozenset[str]] = frozenset({".md", ".markdown"})

    def load(self, file: SourceFile) -> Document:
        return joined(file, self.parts(file))

    def parts(self, file: SourceFile) -> Iterator[Document]:
        with reading(file):
            check_size(file)
            require_text(file)
            text, warnings = read_text(file)
            yield from stated(file, _sections(text.replace("\r\n", "\n").replace("\r", "\n"), Steps(file)), warnings)


def _sections(text: str, steps: Steps) -> Iterator[Section]:
    body, outline = _without_front_matter(text)
    for _ in steps.over(_added(outline, body)):
        yield from outline.taken()
    yield from outline.finish()


def add_markdown(outline: Outline, text: str) -> None:
    """Add Markdown to an outline, below the headings it already has."""
    for _ in _added(outline, text):
        pass


def _added(outline: Outline, text: str) -> Iterator[None]:
    """Add Markdown block by block. Links may name addresses that stand in another block: those are met first."""
    parser, known = _parser(), dict[str, Any]()
    blocks = list(markdown_blocks(text))
    if len(blocks) > 1:
        parser.parse("\n\n".join(found[0] for found in _ADDRESS.finditer(text)), known)
    for block in blocks:
        _Reader(outline).read(parser.parse(_tamed(block), known))
        yield


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": True, "maxNesting": 20}).enable(["table", "strikethrough"])


def _tamed(text: str) -> str:
    """Break lines longer than any author writes: the inline parser takes time quadratic in a block's brackets."""
    lines = text.split("\n")
    if max(map(len, lines)) <= _LINE_LIMIT_CHARS:
        return text
    pieces: list[str] = []
    for line in lines:
        size = _LINE_LIMIT_CHARS
        cut = [line[start : start + size] for start in range(0, len(line), size)] or [line]
        pieces.append("\n\n".join(cut))
    return "\n".join(pieces)


def _without_front_matter(text: str) -> tuple[str, Outline]:
    """Split off a YAML block at the top; its title is the outermost heading, its other lines are kept as text."""
    text = text.removeprefix("\ufeff")
    found = _FRONT_MATTER.match(text)
    if not found or ":" not in found[1]:
        return text, Outline()
    title = _FRONT_TITLE.search(found[1])
    outline = Outline(title=title[1].strip() if title else "")
    outline.paragraph(found[1])
    return text[found.end() :], outline


class _Reader:
    """Walks the flat token list; keeps the list and table it is in."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._level = 0
        self._lists: list[int | None] = []
        self._items: list[str] = []
        self._bullet = ""
        self._rows: list[list[Cell]] | None = None

    def read(self, tokens: Sequence[Token]) -> None:
        for token in tokens:
            match token.type:
                case "fence" | "code_block":
                    self._outline.code(token.content)
                case "html_block":
                    self._outline.paragraph(_stripped(token.content))
                case "inline":
                    self._inline(_text(token))
                case _:
                    self._lists_and_headings(token)
                    self._tables(token)

    def _tables(self, token: Token) -> None:
        match token.type:
            case "table_open":
                self._rows = []
            case "tr_open" if self._rows is not None:
                self._rows.append([])
            case "table_close":
                self._outline.table(self._rows or [])
                self._rows = None

    def _lists_and_headings(self, token: Token) -> None:
        match token.type:
            case "heading_open":
                self._level = int(token.tag[1])
            case "bullet_list_open":
                self._lists.append(None)
            case "ordered_list_open":
                self._lists.append(int(token.attrs.get("start", 1)))
            case "list_item_open":
                self._open_item()
            case "bullet_list_close" | "ordered_list_close":
                self._lists.pop()
                if not self._lists:
                    self._outline.paragraph("\n".join(self._items))
                    self._items = []
            case "heading_close":
                self._level = 0

    def _open_item(self) -> None:
        number = self._lists[-1] if self._lists else None
        self._bullet = "- " if number is None else f"{number}. "
        if number is not None:
            self._lists[-1] = number + 1

    def _inline(self, text: str) -> None:
        if self._rows is not None and self._rows:
            self._rows[-1].append(Cell(text))
        elif self._lists:
            self._items.append(self._bullet + text)
            self._bullet = ""
        elif self._level:
            self._outline.heading(self._level, text)
        else:
            self._outline.paragraph(text)


def _text(token: Token) -> str:
    """The words of an inline token: links and emphasis without marks, pictures as their description."""
    parts: list[str] = []
    for child in token.children or []:
        if child.type in {"text", "code_inline", "text_special"}:
            parts.append(child.content)
        elif child.type in {"softbreak", "hardbreak"}:
            parts.append("\n")
        elif child.type == "image":
            parts.append(child.content)
        elif child.type == "html_inline" and child.content.lower().startswith("<br"):
            parts.append("\n")
    return "".join(parts)


def _stripped(markup: str) -> str:
    soup = BeautifulSoup(markup, "lxml")
    for tag in soup(_DROPPED_HTML):
        tag.decompose()
    return soup.get_text("\n")
