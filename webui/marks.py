"""Marks put into a parsed text after some of its sentences. Called by `markdown.inert` before it writes the text anew.

A sentence is known by its place in the source. Markdown is parsed without these places, so the shown characters are
looked up in the source one after the other; what is shown differently there (an entity) is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from markdown_it.token import Token

MARK = "mark"
"""The type of the tokens that are put in; their content is written as it is."""
_LINE_END = re.compile(r"\r\n|\r|\n")
_TITLES = {"heading_open": 1, "heading_close": -1, "thead_open": 1, "thead_close": -1}


@dataclass(frozen=True, slots=True)
class Mark:
    """What is written after the source's characters from `start` up to `end`, in Markdown of ours."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class _Spot:
    """Behind a character of a child of an inline token; behind all of the child where `char` is None."""

    inline: int
    child: int
    char: int | None


@dataclass(slots=True)
class _Source:
    """The source, read from the left."""

    text: str
    cursor: int = 0
    end: int = 0
    lines: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lines = [0, *(line.end() for line in _LINE_END.finditer(self.text)), len(self.text)]

    def enter(self, first_line: int, next_line: int) -> None:
        """Read between these lines from now on."""
        self.cursor = max(self.cursor, self.lines[min(first_line, len(self.lines) - 1)])
        self.end = self.lines[min(next_line, len(self.lines) - 1)]

    def place_of(self, char: str) -> int | None:
        """Where the next such character stands; None when there is none, and for white space."""
        found = -1 if char.isspace() else self.text.find(char, self.cursor, self.end)
        if found < 0:
            return None
        self.cursor = found + 1
        return found


def place(tokens: Sequence[Token], source: str, marks: Sequence[Mark]) -> set[Mark]:
    """Put the marks, ordered by their start, into the inline tokens; those in code blocks and titles are left out.

    Returns those that were put in.
    """
    spots: dict[Mark, _Spot] = {}
    left = list(reversed(marks))
    for where, spot in _characters(tokens, _Source(source)):
        while left and left[-1].end <= where:
            left.pop()
        if left and left[-1].start <= where:
            spots[left[-1]] = spot
    for number in {spot.inline for spot in spots.values()}:
        here = [(spot, mark) for mark, spot in spots.items() if spot.inline == number]
        tokens[number].children = list(_with_marks(tokens[number].children or [], here))
    return set(spots)


def _characters(tokens: Sequence[Token], source: _Source) -> Iterator[tuple[int, _Spot]]:
    """Every shown character: its place in the source, and the spot behind it."""
    titles = 0
    for number, token in enumerate(tokens):
        titles += _TITLES.get(token.type, 0)
        if token.map:
            source.enter(*token.map)
        if token.type == "inline" and not titles:
            yield from _shown(number, token.children or [], source)


def _shown(number: int, children: Sequence[Token], source: _Source) -> Iterator[tuple[int, _Spot]]:
    """A spot within emphasis or a link is moved behind it, so that no mark can change how those are read."""
    outermost = _outermost(children)
    for position, child in enumerate(children):
        free = child.type == "text" and outermost[position] == position
        for count, char in enumerate(child.content, start=1):
            found = source.place_of(char)
            if found is not None:
                yield found, _Spot(number, outermost[position], count if free else None)


def _outermost(children: Sequence[Token]) -> list[int]:
    """For each child, the last child of the outermost span that it stands in: itself where it stands in none."""
    depth, ends, last = 0, [0] * len(children), 0
    for position in reversed(range(len(children))):
        if depth == 0:
            last = position
        depth -= children[position].nesting
        ends[position] = last
    return ends


def _with_marks(children: Sequence[Token], marks: Sequence[tuple[_Spot, Mark]]) -> Iterator[Token]:
    for position, child in enumerate(children):
        here = [(spot.char, mark) for spot, mark in marks if spot.child == position]
        begin = 0
        for char, mark in here:
            if char is not None:
                yield Token("text", "", 0, content=child.content[begin:char])
                begin = char
                yield Token(MARK, "", 0, content=mark.text)
        if begin < len(child.content) or not begin:
            yield child.copy(content=child.content[begin:])
        yield from (Token(MARK, "", 0, content=mark.text) for char, mark in here if char is None)
