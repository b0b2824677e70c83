"""Words inside OpenDocument elements: paragraphs with their spaces; notes and comments, read after the text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from lxml.etree import _Element as Element

from services.api.knowledge.loaders.office.package import local_name
from services.api.knowledge.loaders.reading.cleaning import clean, clean_line
from services.api.knowledge.loaders.reading.outline import Outline

OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
SVG = "{urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0}"
_AUTHOR = "{http://purl.org/dc/elements/1.1/}creator"
_NOTE, _COMMENT = f"{TEXT}note", f"{OFFICE}annotation"
_WHITE = re.compile(r"\s+")
_SPACE_LIMIT = 100
_SKIPPED = frozenset(
    {
        f"{TEXT}ruby-text",
        f"{TEXT}tracked-changes",
        f"{TEXT}hidden-text",
        f"{TEXT}page-number",
        f"{SVG}title",
        f"{SVG}desc",
    }
)
_BLOCKS = frozenset({f"{TEXT}p", f"{TEXT}h", f"{DRAW}text-box", f"{TEXT}list-item", f"{TABLE}table-row"})


def text_of(element: Element, asides: list[Element]) -> str:
    """The visible words below an element, a line per paragraph; notes and comments below it are put into `asides`."""
    parts: list[str] = []
    levels: list[Iterator[Element | str]] = [iter((element,))]
    while levels:
        piece = next(levels[-1], None)
        if piece is None:
            levels.pop()
        elif isinstance(piece, str):
            parts.append(piece)
        elif piece.tag in {_NOTE, _COMMENT}:
            asides.append(piece)
        else:
            levels.append(_pieces(piece))
    return "".join(parts).strip("\n")


def _pieces(element: Element) -> Iterator[Element | str]:
    """An element's own text, its children, and the texts between them."""
    yield _space(element) + _WHITE.sub(" ", element.text or "")
    for child in element:
        if isinstance(child.tag, str) and child.tag not in _SKIPPED:
            yield child
        yield _WHITE.sub(" ", child.tail or "")
    if element.tag in _BLOCKS:
        yield "\n"


def _space(element: Element) -> str:
    """The white space that an element stands for."""
    match local_name(element):
        case "s":
            return " " * count(element, f"{TEXT}c", _SPACE_LIMIT)
        case "tab":
            return "\t"
        case "line-break" | "text-box":
            return "\n"
    return ""


def count(element: Element, attribute: str, limit: int) -> int:
    """A number that an attribute gives, 1 where it gives none."""
    value = element.get(attribute, "1")
    return min(max(int(value), 1), limit) if value.isdecimal() and len(value) < 10 else 1


def add_asides(outline: Outline, asides: list[Element], level: int = 1) -> None:
    """Add the notes and comments that were put aside, each kind under a heading of its own on a level."""
    texts: dict[str, list[str]] = {"Footnotes": [], "Endnotes": [], "Comments": []}
    for element in asides:  # grows while it is read: a note may hold a comment
        title, text = _aside(element, asides)
        texts[title].append(text)
    for title, found in texts.items():
        _add_titled(outline, level, title, [text for text in found if text])


def _add_titled(outline: Outline, level: int, title: str, texts: Sequence[str]) -> None:
    if texts:
        outline.heading(level, title)
    for text in texts:
        outline.paragraph(text)


def _aside(element: Element, asides: list[Element]) -> tuple[str, str]:
    """The kind and the words of a note or comment."""
    if element.tag == _NOTE:
        title = "Endnotes" if element.get(f"{TEXT}note-class") == "endnote" else "Footnotes"
        return title, clean("\n".join(_paragraphs(element.find(f"{TEXT}note-body"), asides)))
    author = clean_line(element.findtext(_AUTHOR, ""))
    text = clean("\n".join(_paragraphs(element, asides)))
    return "Comments", f"{author}: {text}" if author and text else text


def _paragraphs(element: Element | None, asides: list[Element]) -> Iterator[str]:
    """The paragraphs of a note, without what stands beside them: author, date, number."""
    for child in element if element is not None else ():
        if child.tag in {f"{TEXT}p", f"{TEXT}h", f"{TEXT}list"}:
            yield text_of(child, asides)
