"""XML and feeds: prose as paragraphs, plain values as `name: value` lines, titles as the heading path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from lxml import etree
from lxml.etree import _Element as Element

from services.api.domain.knowledge import Document, Place, Section, SourceFile
from services.api.knowledge.loaders.html import parsed, read_body
from services.api.knowledge.loaders.markup.xml_tree import local_name, read_xml
from services.api.knowledge.loaders.reading.cleaning import clean, clean_line
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.failures import check_size, reading
from services.api.knowledge.loaders.reading.outline import Outline
from services.api.knowledge.loaders.reading.streams import joined, parts_of, reported

_TITLES = frozenset({"title", "name", "head", "heading", "caption", "标题", "名称", "姓名"})
_PARAGRAPHS = frozenset({"p", "para", "simpara", "paragraph", "li", "h1", "h2", "h3", "h4", "h5", "h6", "td", "th"})
_PROSE = frozenset({"text", "t", "item", "line", "content", "body", "value", "seg", "span", "entry"})
_HTML = frozenset({"html", "div", "table"})
_SKIPPED = frozenset({"script", "style"})
_LABELS = ("name", "key", "label", "title")
_PROSE_ATTRIBUTES = frozenset({"title", "label", "summary", "alt", "name", "caption", "description", "text"})
_MARKUP = re.compile(
    r"</?(?:p|div|br|a|span|img|ul|ol|li|b|i|strong|em|table|h[1-6]|pre|blockquote)\b[^<>]{0,2000}>", re.I
)
_ATTRIBUTES = 500
_TITLE_CHARS = 80
_INLINE_CHARS = 2000


class XmlLoader:
    """Reads .xml, .rss and .atom."""

    extensions: ClassVar[frozenset[str]] = frozenset({".atom", ".rss", ".xml"})

    def load(self, file: SourceFile) -> Document:
        return joined(file, self.parts(file))

    def parts(self, file: SourceFile) -> Iterator[Document]:
        with reading(file):
            check_size(file)
            require_text(file)
            tree = read_xml(file)
            yield from parts_of(_sections(file, tree.root))
            yield Document((), tree.warnings)


def _sections(file: SourceFile, root: Element) -> Iterator[Section]:
    walk = _Walk()
    for _ in reported(file, walk.over(root)):
        yield from walk.taken()
    yield from walk.taken()


class _Walk:
    """Goes through the tree with a stack of its own; lines of plain values are held until something else comes."""

    def __init__(self) -> None:
        self._sections: list[Section] = []
        self._lines: list[str] = []
        self._place = Place()

    def taken(self) -> list[Section]:
        """What was read since the last time."""
        found, self._sections = self._sections, []
        return found

    def over(self, root: Element) -> Iterator[None]:
        """Go through all of it, a step each time."""
        stack: list[tuple[Element | str | None, Place]] = [(root, Place())]
        while stack:
            yield
            top, place = stack.pop()
            if place != self._place or top is None:
                self._end_lines()
            self._place = place
            if isinstance(top, str):
                self._add(top)
            elif top is not None and isinstance(top.tag, str) and local_name(top) not in _SKIPPED:
                stack.extend(self._enter(top, place))
        self._end_lines()

    def _enter(self, element: Element, place: Place) -> list[tuple[Element | str | None, Place]]:
        """Read an element; what is still to be walked, last first."""
        if len(element) == 0:
            self._leaf(element)
            return []
        if local_name(element) in _HTML:
            self._end_lines()
            self._html(etree.tostring(element, encoding="unicode", with_tail=False))
            return []
        if local_name(element) in _PARAGRAPHS or _is_mixed(element):
            self._add(_inline(element))
            return []
        title = _title(element)
        named = _inline(title) if title is not None else ""
        inner = _below(place, named) if named else place
        self._end_lines()
        self._place = inner
        self._lines.extend([named] if named else [])
        self._lines.extend(_attribute_lines(element))
        parts = [(part, inner) for part in _parts(element) if part is not title]
        return [(None, place), *reversed(parts)]

    def _leaf(self, element: Element) -> None:
        text = (element.text or "").strip()
        name = local_name(element)
        if not text:
            shown = ", ".join(f"{key}: {value}" for key, value in _attributes(element))
            self._lines.extend([shown] if shown else [])
        elif _MARKUP.search(text):
            self._end_lines()
            self._html(text)
        elif name in _PARAGRAPHS:
            self._add(text)
        else:
            label = next((value for key in _LABELS if (value := element.get(key))), name)
            self._lines.append(text if label in _PROSE | _TITLES else f"{label}: {text}")

    def _html(self, markup: str) -> None:
        outline = Outline()
        read_body(parsed(markup), outline)
        for section in outline.finish():
            heading = (*self._place.heading, *section.place.heading)
            self._sections.append(replace(section, place=replace(section.place, heading=heading)))

    def _add(self, text: str) -> None:
        """A paragraph of its own."""
        self._end_lines()
        if text.strip():
            self._sections.append(Section(clean(text), self._place))

    def _end_lines(self) -> None:
        text, self._lines = clean("\n".join(self._lines)), []
        if text:
            self._sections.append(Section(text, self._place))


def _parts(element: Element) -> Iterator[Element | str]:
    if element.text and element.text.strip():
        yield element.text
    for child in element:
        yield child
        if child.tail and child.tail.strip():
            yield child.tail


def _is_mixed(element: Element) -> bool:
    """Whether an element is running text with marked words in it, and not a container with a stray word."""
    own = sum(len(part) for part in _parts(element) if isinstance(part, str))
    if not own:
        return False
    size = 0
    for text in element.itertext():
        size += len(text)
        if size > _INLINE_CHARS and own * 3 < size:
            return False
    return True


def _inline(element: Element) -> str:
    """All words of an element on one line, those of scripts left out."""
    if len(element) == 0:
        return clean_line(element.text or "")
    skipped = {id(inner) for inner in element.iter() if isinstance(inner.tag, str) and local_name(inner) in _SKIPPED}
    parts = [element.text or ""]
    for inner in element.iterdescendants():
        if isinstance(inner.tag, str) and id(inner) not in skipped:
            parts.append(inner.text or "")
        parts.append(inner.tail or "")
    return clean_line(re.sub(r"\s+", " ", "".join(parts)))


def _title(element: Element) -> Element | None:
    """The child that names an element."""
    for child in element:
        if isinstance(child.tag, str) and local_name(child).lower() in _TITLES and _inline(child):
            return child
    return None


def _below(place: Place, title: str) -> Place:
    short = title if len(title) <= _TITLE_CHARS else f"{title[: _TITLE_CHARS - 1]}…"
    return replace(place, heading=(*place.heading, short))


def _attributes(element: Element) -> Iterator[tuple[str, str]]:
    """The attributes of an element that has nothing else; those of a namespace are technical."""
    if len(element.attrib) > _ATTRIBUTES:
        raise ValueError("more attributes than any element has")
    for key, value in element.attrib.items():
        if not str(key).startswith("{") and str(value).strip():
            yield str(key), str(value)


def _attribute_lines(element: Element) -> Iterator[str]:
    for key, value in _attributes(element):
        if key in _PROSE_ATTRIBUTES:
            yield f"{key}: {value}"
