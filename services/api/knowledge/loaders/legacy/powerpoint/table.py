"""Tables on slides: a group of boxes, whose edges say which row and columns each is in."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from services.api.knowledge.loaders.legacy.story import RowCell, TableRow

_SAME_LINE = 24
_TWIPS = 5 / 2
_MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class PlacedText:
    """A box and its text, in units of 1/576 inch."""

    text: str
    left: int
    top: int
    right: int
    bottom: int


def table_rows(boxes: Sequence[PlacedText]) -> list[TableRow]:
    """The boxes as rows from top to bottom. What has no area is a line of the frame."""
    boxes = [box for box in boxes if box.right > box.left and box.bottom > box.top]
    tops: list[int] = []
    for top in sorted({box.top for box in boxes}):
        if not tops or top - tops[-1] > _SAME_LINE:
            tops.append(top)
    rows: list[list[RowCell]] = [[] for _ in tops]
    for box in boxes:
        first = bisect_right(tops, box.top) - 1
        for number in range(first, min(len(tops), first + _MOST_ROWS)):
            if number > first and tops[number] + _SAME_LINE >= box.bottom:
                break
            is_below = number > first
            cell = RowCell("" if is_below else box.text, round(box.left * _TWIPS), round(box.right * _TWIPS), is_below)
            rows[number].append(cell)
    return [TableRow(tuple(sorted(row, key=lambda cell: cell.left))) for row in rows]
