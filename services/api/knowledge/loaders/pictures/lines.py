"""A reading → blocks in reading order: columns, rows, paragraphs, tables. The picture and PDF loaders call it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.api.knowledge.loaders.pictures.columns import Row, bands, rows
from services.api.knowledge.loaders.pictures.ocr import Line
from services.api.knowledge.loaders.pictures.reading import Reading
from services.api.knowledge.loaders.pictures.rulings import Rectangle
from services.api.knowledge.loaders.reading.cleaning import clean_line, join_lines
from services.api.knowledge.loaders.reading.openings import opens_paragraph
from services.api.knowledge.loaders.reading.outline import Outline, numbered_level
from services.api.knowledge.loaders.reading.tables import Cell

_LEAST_FILLED = 4
_FILLED_SHARE = 0.3
_SAME_EDGE = 8
_FULL = 2.0
_INDENT = 1.2
_LEADING = 1.1
_WITHIN_MARGIN = 0.85
_SAME_SIZE = 1.4


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True, slots=True)
class Grid:
    """A table."""

    rows: list[list[Cell]]


Block = Paragraph | Grid


def add(found: Iterable[Block], outline: Outline) -> None:
    """Put blocks behind what the outline holds."""
    for block in found:
        if isinstance(block, Grid):
            outline.table(block.rows)
        else:
            outline.paragraph(block.text)


def blocks(reading: Reading) -> list[Block]:
    """What a picture says, in the order in which a person reads it."""
    left = list(reading.lines)
    placed: list[tuple[float, Grid]] = []
    for cells in reading.tables:
        inside = [line for line in left if _cell_of(line, cells) is not None]
        grid = _ruled(cells, inside)
        if grid is not None:
            placed.append((min(cell[1] for cell in cells), grid))
            left = [line for line in left if line not in inside]
    placed.sort(key=lambda found: found[0])
    found: list[Block] = []
    for top, grid in placed:
        found += _flowing([line for line in left if line.middle < top])
        found.append(grid)
        left = [line for line in left if line.middle >= top]
    return found + _flowing(left)


def _cell_of(line: Line, cells: Sequence[Rectangle]) -> int | None:
    across = (line.left + line.right) / 2
    return next(
        (
            number
            for number, (left, top, right, bottom) in enumerate(cells)
            if left <= across <= right and top <= line.middle <= bottom
        ),
        None,
    )


def _ruled(cells: Sequence[Rectangle], lines: Sequence[Line]) -> Grid | None:
    """The cells with their text; None when most are empty or one holds nearly all: a frame or a drawing."""
    held: list[list[Line]] = [[] for _ in cells]
    for line in lines:
        held[_cell_of(line, cells) or 0].append(line)
    filled = sum(map(bool, held))
    if filled < max(_LEAST_FILLED, _FILLED_SHARE * len(cells)):
        return None
    edges_across = _edges([cell[0] for cell in cells] + [cell[2] for cell in cells])
    edges_down = _edges([cell[1] for cell in cells] + [cell[3] for cell in cells])
    grid: list[list[Cell]] = [[] for _ in edges_down[1:]]
    for (left, top, right, bottom), inside in sorted(zip(cells, held, strict=True), key=lambda pair: pair[0][:2][::-1]):
        row, column = _index(edges_down, top), _index(edges_across, left)
        text = join_lines(row.text for row in rows(inside))
        grid[row].append(Cell(text, _index(edges_down, bottom) - row or 1, _index(edges_across, right) - column or 1))
    return Grid(grid)


def _edges(values: Sequence[int]) -> list[int]:
    edges: list[int] = []
    for value in sorted(values):
        if not edges or value - edges[-1] > _SAME_EDGE:
            edges.append(value)
    return edges


def _index(edges: Sequence[int], value: int) -> int:
    return bisect_left(edges, value - _SAME_EDGE)


def _flowing(lines: Sequence[Line]) -> list[Block]:
    found: list[Block] = []
    for band in bands(lines):
        if band.is_table:
            found.append(Grid([[Cell(text) for text in row] for row in band.cells()]))
        else:
            for column in band.columns():
                found += [Paragraph(text) for text in _paragraphs(rows(column)) if text]
    return found


def _paragraphs(column: Sequence[Row]) -> Iterator[str]:
    if not column:
        return
    left, right = _margin([-row.left for row in column]), _margin([row.right for row in column])
    held: list[Row] = []
    for row in column:
        if held and not _goes_on(held[-1], row, -left, right):
            yield clean_line(join_lines(part.text for part in held))
            held = []
        held.append(row)
    yield clean_line(join_lines(part.text for part in held))


def _margin(edges: Sequence[float]) -> float:
    """How far out text usually reaches; a few notes in the margin reach further."""
    return sorted(edges)[int(len(edges) * _WITHIN_MARGIN)]


def _goes_on(before: Row, row: Row, left: float, right: float) -> bool:
    """Whether a row continues the paragraph: of one size, close below, and the one before reached the right margin."""
    height = min(before.height, row.height)
    if before.is_divided or row.is_divided or opens_paragraph(row.text) or numbered_level(before.text) is not None:
        return False
    if max(before.height, row.height) > _SAME_SIZE * height or row.top - before.bottom > _LEADING * height:
        return False
    if row.text[:1].islower() and row.text[:1].isascii():
        return True
    is_indented = row.left - left > _INDENT * height and row.left - before.left > _INDENT * height
    return not is_indented and before.right >= right - _FULL * height
