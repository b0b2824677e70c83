"""Tables drawn with characters, as reStructuredText has them, and those divided by bars, as Org has them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from services.api.knowledge.loaders.reading.tables import Cell

_FILLER = "\x00"
_BORDER = re.compile(r"\+(?:[-=]+\+)+$")
_SIMPLE = re.compile(r"=+(?: +=+)+$")
_BAR = re.compile(r"(?<!\\)\|")


def is_grid_border(line: str) -> bool:
    """`+----+----+`."""
    return bool(_BORDER.match(line.strip()))


def is_simple_border(line: str) -> bool:
    """`====  ====`."""
    return bool(_SIMPLE.match(line.strip()))


def grid_rows(lines: Sequence[str]) -> list[list[Cell]]:
    """The rows of a grid table; cells that are merged across columns reach over them."""
    wide = [_widened(line.strip()) for line in lines]
    edges = [place for place, char in enumerate(wide[0]) if char == "+"]
    rows: list[list[Cell]] = []
    held: list[str] = []
    for line in wide[1:]:
        if not line.startswith("+"):
            held.append(line)
        elif held:
            rows.append(_grid_row(held, edges))
            held = []
    return [*rows, _grid_row(held, edges)] if held else rows


def _grid_row(lines: Sequence[str], edges: Sequence[int]) -> list[Cell]:
    walls = [edge for edge in edges if any(line[edge : edge + 1] in {"|", "+"} for line in lines)]
    cells: list[Cell] = []
    for start, end in pairwise(walls):
        reach = sum(start < edge <= end for edge in edges)
        cells.append(Cell(_joined([line[start + 1 : end] for line in lines]), columns=reach))
    return cells


def simple_rows(lines: Sequence[str]) -> list[list[Cell]]:
    """The rows of a simple table, borders left out; a line with an empty first column goes on with the row above."""
    borders = [line for line in lines if is_simple_border(line)]
    starts = [found.start() for found in re.finditer(r"=+", borders[0])] if borders else []
    rows: list[list[str]] = []
    for line in lines:
        if not line.strip() or is_simple_border(line) or set(line.strip()) <= {"-", " "}:
            continue
        wide = _widened(line)
        cells = [
            _joined([wide[start:end]]) for start, end in zip(starts, [*starts[1:], max(len(wide), 1)], strict=True)
        ]
        if rows and cells and not cells[0]:
            rows[-1] = [f"{above} {below}".strip() for above, below in zip(rows[-1], cells, strict=True)]
        else:
            rows.append(cells)
    return [[Cell(text) for text in row] for row in rows]


def bar_rows(lines: Sequence[str]) -> list[list[Cell]]:
    """The rows of a table divided by bars; rules are left out."""
    bodies = [line.strip() for line in lines]
    return [
        [Cell(cell.strip()) for cell in _BAR.split(body.removeprefix("|").removesuffix("|"))]
        for body in bodies
        if not re.match(r"\|[-+:| ]+$", body)
    ]


def _widened(line: str) -> str:
    """A filler after each character that takes two columns, so that a slice is a slice of the drawing."""
    return "".join(char + _FILLER if unicodedata.east_asian_width(char) in {"W", "F"} else char for char in line)


def _joined(parts: Sequence[str]) -> str:
    return "\n".join(part.replace(_FILLER, "").strip() for part in parts).strip()
