"""A Word document's styles: which are headings, of which level, and which stand in lists."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from services.api.knowledge.loaders.legacy.word.properties import Modifier, modifiers

_TITLE = 62
_PARAGRAPH = 1
_NO_STYLE = 0xFFF
_OUTLINE_LEVEL, _LIST = 0x2640, 0x460B
_RUNNING_TEXT = 9
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Style:
    """What a paragraph's style says of it. `level`: of a heading, 0 for the title."""

    level: int | None = None
    is_listed: bool = False


@dataclass(frozen=True, slots=True)
class _Definition:
    built_in: int
    parent: int
    level: int | None
    is_listed: bool | None


def outline_level(modifier: Modifier, found: int | None) -> int | None:
    """The heading level after a modifier; running text has none."""
    if modifier.code != _OUTLINE_LEVEL:
        return found
    return modifier.number + 1 if modifier.number < _RUNNING_TEXT else None


def is_listed(modifier: Modifier, *, found: bool | None) -> bool | None:
    """Whether the paragraph stands in a list after a modifier."""
    return bool(modifier.number) if modifier.code == _LIST else found


def styles(sheet: bytes) -> dict[int, Style]:
    """Style number → style, following what each is based on."""
    defined = dict(_definitions(sheet))
    return {number: _resolved(number, defined) for number in defined}


def _resolved(number: int, defined: dict[int, _Definition]) -> Style:
    level: int | None = None
    listed: bool | None = None
    for _ in range(_DEEPEST):
        style = defined.get(number)
        if style is None:
            break
        level = _own_level(style) if level is None else level
        listed = style.is_listed if listed is None else listed
        number = style.parent
    return Style(level, is_listed=bool(listed))


def _own_level(style: _Definition) -> int | None:
    if 1 <= style.built_in <= 9:
        return style.built_in
    return 0 if style.built_in == _TITLE else style.level


def _definitions(sheet: bytes) -> Iterator[tuple[int, _Definition]]:
    """The paragraph styles of a style sheet. Each has a fixed part of the size that the sheet's head says."""
    if len(sheet) < 6:
        return
    head, count, fixed = struct.unpack_from("<3H", sheet)
    at = 2 + head
    for number in range(count):
        if at + 2 > len(sheet):
            return
        size = struct.unpack_from("<H", sheet, at)[0]
        body = sheet[at + 2 : at + 2 + size]
        at += 2 + size + size % 2
        if len(body) >= max(fixed, 6) and body[2] & 0xF == _PARAGRAPH:
            yield number, _definition(body, fixed)


def _definition(body: bytes, fixed: int) -> _Definition:
    built_in, parent = struct.unpack_from("<2H", body)
    level: int | None = None
    listed: bool | None = None
    for modifier in modifiers(_paragraph_part(body, fixed)):
        level = outline_level(modifier, level)
        listed = is_listed(modifier, found=listed)
    return _Definition(built_in & 0xFFF, parent >> 4, level, listed)


def _paragraph_part(body: bytes, fixed: int) -> bytes:
    """The packed modifiers for paragraphs, which follow the style's name."""
    name_chars = int.from_bytes(body[fixed : fixed + 2], "little")
    at = fixed + 2 + 2 * (name_chars + 1)
    at += at % 2
    size = int.from_bytes(body[at : at + 2], "little")
    return body[at + 4 : at + 2 + size]
