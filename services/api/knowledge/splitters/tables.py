"""Cuts a Markdown table between rows, the header repeated; too long a row becomes `column: value` lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from services.api.domain.knowledge import Passage, Place, Section
from services.api.knowledge.splitters.measure import Measure
from services.api.knowledge.splitters.pieces import bounded

_RULE = re.compile(r"\|(?: :?-{3,}:? \|)+")
_BAR = re.compile(r"(?<!\\) ?\| ?")


@dataclass(frozen=True, slots=True)
class _Table:
    header: list[str]
    rows: list[str]

    @property
    def head(self) -> str:
        return "".join(f"{line}\n" for line in self.header)


def is_table(section: Section) -> bool:
    """Whether a section is Markdown table rows."""
    return section.whole and section.text.startswith("|") and section.text.endswith("|")


@dataclass(frozen=True, slots=True)
class Room:
    """How wide a passage may be, by which measure."""

    limit: int
    measure: Measure


def cut_table(section: Section, room: Room, title: str = "") -> Iterator[Passage]:
    """The table in passages that fit the room, each with the header.

    Args:
        section: the table.
        room: of a passage.
        title: text that stands above the table; it goes into the first passage if it fits, else into one of its own.
    """
    table, width = _parsed(section.text), room.measure.width
    room.measure.prepare(table.rows)
    left = room.limit + 1 - width(table.head)
    title_left = left - width(f"{title}\n") if title else left
    if title and (not table.rows or width(f"{table.rows[0]}\n") > title_left):
        yield Passage(title, section.place)
        title, title_left = "", left
    for held in _grouped([width(f"{row}\n") for row in table.rows], title_left, left):
        place = _narrowed(section, len(table.rows), held, has_title=bool(title))
        rows = [table.rows[index] for index in held]
        if len(rows) == 1 and width(f"{rows[0]}\n") > left:
            yield from (Passage(text, place) for text in _as_record(table, rows[0], room))
        else:
            yield Passage("\n".join(filter(None, [title, *table.header, *rows])), place)
        title = ""


def _grouped(widths: Sequence[int], first_room: int, room: int) -> Iterator[list[int]]:
    """Numbers of rows that fit into a passage together; a row that fits nowhere stands alone."""
    held: list[int] = []
    left = first_room
    for index, size in enumerate(widths):
        if held and size > left:
            yield held
            held, left = [], room
        held.append(index)
        left -= size
    if held:
        yield held


def _parsed(text: str) -> _Table:
    lines = text.split("\n")
    has_header = len(lines) > 1 and _RULE.fullmatch(lines[1])
    return _Table(lines[:2], lines[2:]) if has_header else _Table([], lines)


def _narrowed(section: Section, count: int, held: Sequence[int], *, has_title: bool) -> Place:
    """The place of some of a section's `count` rows: their own row numbers where they are known.

    The rows are the last ones of the place, which may begin above them, with a title.
    """
    place = section.place
    if place.row is None or place.last_row is None or place.last_row - place.row + 1 < count:
        return place
    first = place.last_row - count + 1
    return replace(place, row=place.row if has_title else first + held[0], last_row=first + held[-1])


def _as_record(table: _Table, row: str, room: Room) -> Iterator[str]:
    """A long row as `column: value` lines, packed into passages."""
    names = _cells(table.header[0]) if table.header else []
    values = _cells(row)
    named = [(names[place] if place < len(names) else "", value) for place, value in enumerate(values) if value]
    text = "\n".join(f"{name}: {value}" if name else value for name, value in named)
    packed = ""
    for piece in bounded(text, room.limit, room.measure):
        if packed and room.measure.width((packed + piece).rstrip()) > room.limit:
            yield packed.strip()
            packed = ""
        packed += piece
    if packed.strip():
        yield packed.strip()


def _cells(row: str) -> list[str]:
    inner = row.removeprefix("|").removesuffix("|")
    return [cell.strip().replace("\\|", "|") for cell in _BAR.split(inner)]
