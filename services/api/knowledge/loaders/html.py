"""Web pages: visible text under its headings; tables as Markdown. Nothing is fetched, nothing is run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.knowledge.loaders.reading.cleaning import clean_line
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.encodings import detect, read_text
from services.api.knowledge.loaders.reading.failures import check_size, reading
from services.api.knowledge.loaders.reading.outline import Outline
from services.api.knowledge.loaders.reading.streams import Steps, joined, stated
from services.api.knowledge.loaders.reading.tables import Cell

_HEAD_BYTES = 4096
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s{0,5}=\s{0,5}[\"']?([\w-]{1,40})", re.IGNORECASE)
_DROPPED = frozenset(
    {"script", "style", "nav", "noscript", "template", "iframe", "object", "svg", "head", "button", "select"}
)
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hr",
        "html",
        "li",
        "main",
        "ol",
        "p",
        "section",
        "summary",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "title",
        "tr",
        "ul",
    ]
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_HIDDEN = re.compile(r"display\s{0,3}:\s{0,3}none|visibility\s{0,3}:\s{0,3}hidden", re.IGNORECASE)
_SPAN = re.compile(r"\d{1,4}")


class HtmlLoader:
    """Reads .html and .htm."""

    extensions: ClassVar[frozenset[str]] = frozenset({".html", ".htm"})

    def load(self, file: SourceFile) -> Document:
        return joined(file, self.parts(file))

    def parts(self, file: SourceFile) -> Iterator[Document]:
        with reading(file):
            check_size(file)
            require_text(file)
            text, warnings = read_text(file, detect(file, _declared(file)))
            yield from stated(file, _sections(text, Steps(file)), warnings)


def _sections(markup: str, steps: Steps) -> Iterator[Section]:
    page = parsed(markup, steps.take)
    outline = Outline()
    outline.heading(0, clean_line(page.title.get_text()) if page.title else "")
    for _ in steps.over(body_walk(page, outline)):
        yield from outline.taken()
    yield from outline.finish()


def parsed(markup: str, heard: Callable[[], None] = lambda: None) -> BeautifulSoup:
    """The tree of a page; nothing it names is fetched. `heard` is called at each tag."""
    return _HeardPage(markup, heard)


class _HeardPage(BeautifulSoup):
    def __init__(self, markup: str, heard: Callable[[], None]) -> None:
        self._heard = heard
        super().__init__(markup, "lxml")

    def handle_starttag(self, *args: Any, **options: Any) -> Tag | None:
        self._heard()
        return super().handle_starttag(*args, **options)


def read_body(page: BeautifulSoup, outline: Outline) -> None:
    """Add the visible text of a page to an outline."""
    for _ in body_walk(page, outline):
        pass


def body_walk(page: BeautifulSoup, outline: Outline) -> Iterator[None]:
    """Add the visible text of a page to an outline, element by element."""
    return _Walk(outline, _layout_tables(page)).over(page.body or page)


def _declared(file: SourceFile) -> str | None:
    with file.path.open("rb") as handle:
        found = _CHARSET.search(handle.read(_HEAD_BYTES))
    return found[1].decode("ascii", "ignore") if found else None


class _Walk:
    """Goes through the tree with a stack of its own: nesting may be deeper than Python's."""

    def __init__(self, outline: Outline, layout: frozenset[int]) -> None:
        self._outline = outline
        self._layout = layout
        self._words: list[str] = []

    def over(self, root: Tag) -> Iterator[None]:
        stack: list[PageElement | None] = list(reversed(root.contents))
        while stack:
            yield
            element = stack.pop()
            if element is None:
                self._end_block()
            elif isinstance(element, Tag):
                stack.extend(self._enter(element))
            elif isinstance(element, NavigableString) and not isinstance(element, PreformattedString):
                self._words.append(re.sub(r"\s+", " ", element))
        self._end_block()

    def _enter(self, tag: Tag) -> list[PageElement | None]:
        """Handle a tag; what is still to be walked, last first."""
        if _is_hidden(tag):
            return []
        if tag.name in _HEADINGS:
            self._end_block()
            self._outline.heading(_HEADINGS[tag.name], self._visible(tag))
        elif tag.name == "pre":
            self._end_block()
            self._outline.code(tag.get_text())
        elif tag.name == "table" and id(tag) not in self._layout:
            self._end_block()
            self._outline.table(self._rows(tag))
        elif tag.name in {"br", "img"}:
            self._words.append("\n" if tag.name == "br" else _attribute(tag, "alt"))
        elif tag.name in _BLOCKS or tag.name == "table":
            self._end_block()
            self._words.extend(["- "] if tag.name == "li" else [])
            return [None, *reversed(tag.contents)]
        else:
            return list(reversed(tag.contents))
        return []

    def _end_block(self) -> None:
        text, self._words = "".join(self._words), []
        if text.strip(" -\n"):
            self._outline.paragraph(text)

    def _rows(self, table: Tag) -> list[list[Cell]]:
        return [
            [
                Cell(self._visible(cell), rows=_span(cell, "rowspan"), columns=_span(cell, "colspan"))
                for cell in row.find_all(["td", "th"])
            ]
            for row in table.find_all("tr")
        ]

    def _visible(self, tag: Tag) -> str:
        """The text of a cell or heading."""
        inner = Outline()
        for _ in _Walk(inner, self._layout).over(tag):
            pass
        return " ".join(section.text for section in inner.finish())


def _is_hidden(tag: Tag) -> bool:
    return (
        tag.name in _DROPPED
        or tag.has_attr("hidden")
        or _attribute(tag, "aria-hidden") == "true"
        or bool(_HIDDEN.search(_attribute(tag, "style")[:2000]))
    )


def _layout_tables(soup: Tag) -> frozenset[int]:
    """The tables (by identity) that hold a table or a heading: they lay out a page and are walked like any block."""
    inner = soup.find_all(["table", "h1", "h2", "h3"])
    return frozenset(id(outer) for tag in inner if (outer := tag.find_parent("table")) is not None)


def _span(cell: Tag, name: str) -> int:
    found = _SPAN.match(_attribute(cell, name))
    return int(found[0]) if found else 1


def _attribute(tag: Tag, name: str) -> str:
    value = tag.get(name)
    return value if isinstance(value, str) else ""
