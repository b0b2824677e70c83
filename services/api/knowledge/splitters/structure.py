"""Finds lists among a document's sections, so that they are kept together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from services.api.domain.knowledge import Section

_ITEM = re.compile(
    r"\s*+(?:[-*+•·▪◦‣–]\s|\d{1,3}[.)]\s|\d{1,3}、|[(（](?:\d{1,3}|[一二三四五六七八九十]{1,3})[)）]|[a-zA-Z][.)]\s)"
)


def with_lists(sections: Iterable[Section]) -> Iterator[Section]:
    """The sections of one place, each list one section that is to be kept whole.

    A list is at least two lines that begin like items, in one paragraph or in neighbouring ones; a line above them in
    the same paragraph, which says what is listed, goes with them.
    """
    held: list[Section] = []
    for section in sections:
        is_list = _is_list(section)
        if held and not (is_list and _begins_with_item(section)):
            yield from _joined(held)
            held = []
        if is_list:
            held.append(section)
        else:
            yield section
    yield from _joined(held)


def _joined(held: Sequence[Section]) -> Iterator[Section]:
    text = "\n".join(section.text for section in held)
    if "\n" in text:
        yield Section(text, held[0].place, whole=True)
    else:
        yield from held


def _items(text: str) -> int:
    return sum(_ITEM.match(line) is not None for line in text.split("\n"))


def _begins_with_item(section: Section) -> bool:
    return _ITEM.match(section.text) is not None


def _is_list(section: Section) -> bool:
    """Whether a section is one item in one line, or has several and not more lines of another kind."""
    if section.whole:
        return False
    items, lines = _items(section.text), section.text.count("\n") + 1
    return items == lines or (items > 1 and items * 2 >= lines)
