"""OpenDocument presentations: slide after slide in reading order, each with its notes and comments."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml.etree import _Element as Element

from services.api.domain.knowledge import Section, SourceFile
from services.api.knowledge.loaders.office.odf_tables import Budget, table_rows
from services.api.knowledge.loaders.office.odf_text import DRAW, OFFICE, SVG, TABLE, add_asides, text_of
from services.api.knowledge.loaders.office.placing import Placed, in_reading_order
from services.api.knowledge.loaders.reading.outline import Outline

_PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
_NOTES = f"{_PRESENTATION}notes"
_KIND = f"{_PRESENTATION}class"
_LENGTH = re.compile(r"(-?\d{1,6}(?:\.\d{1,6})?)(mm|cm|in|pt|pc|px)?")
_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "in": 25.4, "pt": 25.4 / 72, "pc": 25.4 / 6, "px": 25.4 / 96}
_FURNITURE = frozenset({"page-number", "date-time", "page", "header"})
_CELL_LIMIT = 1_000_000


def read_slides(file: SourceFile, body: Element) -> tuple[list[Section], list[str]]:
    """The sections of a presentation, and what was not read."""
    sections: list[Section] = []
    budget = Budget(_CELL_LIMIT)
    pages = body.findall(f"{DRAW}page")
    for number, page in enumerate(pages, start=1):
        outline = Outline(page=number)
        _read(page, outline, budget)
        sections.extend(outline.finish())
        file.report(number, len(pages))
    return sections, ["the tables are too large; some were not read to their end"] if budget.is_spent else []


def _read(page: Element, outline: Outline, budget: Budget) -> None:
    asides = list(page.iterchildren(f"{OFFICE}annotation"))
    shapes = list(_shapes(page))
    for title in filter(_is_title, shapes):
        outline.heading(1, text_of(title, asides))
    for shape in shapes:
        table = shape.find(f"{TABLE}table")
        if table is not None:
            outline.table(table_rows(table, asides, budget))
        elif not _is_title(shape):
            outline.paragraph(text_of(shape, asides))
    notes = page.find(_NOTES)
    spoken = [text_of(shape, asides) for shape in _shapes(notes)] if notes is not None else []
    if any(map(str.strip, spoken)):
        outline.heading(2, "Notes")
        outline.paragraph("\n".join(spoken))
    add_asides(outline, asides, 2)


def _shapes(page: Element) -> Iterator[Element]:
    """The shapes of a page in reading order, those of a group together."""
    stack = [page]
    while stack:
        shape = stack.pop()
        if shape is page or shape.tag == f"{DRAW}g":
            inner = (child for child in shape if isinstance(child.tag, str) and child.tag.startswith(DRAW))
            stack.extend(reversed(in_reading_order([_placed(child) for child in inner])))
        elif shape.get(_KIND) not in _FURNITURE:
            yield shape


def _placed(shape: Element) -> Placed[Element]:
    """A shape where it is; a group where the first of its shapes is."""
    spot = next((inner for inner in shape.iter() if inner.get(f"{SVG}y")), shape)
    return Placed(shape, _length(spot.get(f"{SVG}y", "")), _length(spot.get(f"{SVG}x", "")))


def _length(text: str) -> float:
    found = _LENGTH.fullmatch(text)
    return float(found[1]) * _MILLIMETRES[found[2] or "cm"] if found else 0.0


def _is_title(shape: Element) -> bool:
    return bool(shape.get(_KIND) == "title")
