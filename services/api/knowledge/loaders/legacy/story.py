"""Paragraphs and table rows of a text document in reading order, made into sections. .doc and .rtf use it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from services.api.domain.knowledge import Section
from services.api.knowledge.loaders.reading.cleaning import clean, clean_line
from services.api.knowledge.loaders.reading.outline import Outline, numbered_level
from services.api.knowledge.loaders.reading.tables import Cell

_SAME_EDGE_TWIPS = 60


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text. `level`: of a heading, 0 for the title; `is_item`: it stands in a list."""

    text: str
    level: int | None = None
    is_item: bool = False


@dataclass(frozen=True, slots=True)
class RowCell:
    """A cell of a row. Edges in twips, equal where the format does not say; `is_below`: it continues the cell above."""

    text: str
    left: int = 0
    right: int = 0
    is_below: bool = False


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table; neighbouring rows are one table."""

    cells: tuple[RowCell, ...]


Block = Paragraph | TableRow


def story_sections(blocks: Sequence[Block]) -> list[Section]:
    """The body as sections. Where no style marks a heading, Chinese numbered titles (第一章, 一、) do."""
    is_styled = any(isinstance(block, Paragraph) and block.level is not None for block in blocks)
    outline = Outline()
    for kind, group in groupby(blocks, key=_kind):
        if kind == "rows":
            outline.table(grid([block for block in group if isinstance(block, TableRow)]))
            continue
        paragraphs = [block for block in group if isinstance(block, Paragraph)]
        if kind == "items":
            outline.paragraph("\n".join(f"- {clean_line(item.text)}" for item in paragraphs if clean(item.text)))
        else:
            _add(outline, paragraphs, is_styled=is_styled)
    return outline.finish()


def aside_sections(title: str, blocks: Iterable[Block]) -> list[Section]:
    """Text beside the body (footnotes, page headers) under a title of its own; what repeats is kept once."""
    outline = Outline(title=title)
    texts = [clean(text) for block in blocks for text in _texts(block)]
    for text in dict.fromkeys(texts):
        if any(char.isalpha() for char in text):
            outline.paragraph(text)
    return outline.finish()


def _texts(block: Block) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield block.text
    else:
        yield " ".join(filter(None, (clean_line(cell.text) for cell in block.cells)))


def _kind(block: Block) -> str:
    if isinstance(block, TableRow):
        return "rows"
    return "items" if block.is_item and block.level is None else "paragraphs"


def _add(outline: Outline, paragraphs: Iterable[Paragraph], *, is_styled: bool) -> None:
    for paragraph in paragraphs:
        text = clean(paragraph.text)
        level = paragraph.level if is_styled else numbered_level(text)
        if level is None:
            outline.paragraph(text)
        else:
            outline.heading(level, text)


def grid(rows: Sequence[TableRow]) -> list[list[Cell]]:
    """Rows whose cells reach over columns and rows as their edges and merges say."""
    edges = _edges(rows)
    placed = [_placed(row, edges) for row in rows]
    return [
        [
            Cell(cell.text, rows=_height(placed, number, column), columns=width)
            for column, (width, cell) in row.items()
            if not (cell.is_below and number and column in placed[number - 1])
        ]
        for number, row in enumerate(placed)
    ]


def _edges(rows: Iterable[TableRow]) -> list[int]:
    """Where columns begin and end, from left to right; edges that a hand drew almost on one line are one."""
    found: list[int] = []
    for edge in sorted({edge for row in rows for cell in row.cells for edge in (cell.left, cell.right)}):
        if not found or edge - found[-1] > _SAME_EDGE_TWIPS:
            found.append(edge)
    return found


def _placed(row: TableRow, edges: Sequence[int]) -> dict[int, tuple[int, RowCell]]:
    """Column → width in columns and cell. A row that begins further right than its table has an empty cell first."""
    found: dict[int, tuple[int, RowCell]] = {}
    column = 0
    for cell in row.cells:
        first = max(_column(edges, cell.left), column) if cell.right > cell.left else column
        if first > column:
            found[column] = (first - column, RowCell(""))
        width = max(_column(edges, cell.right) - first, 1)
        found[first] = (width, cell)
        column = first + width
    return found


def _column(edges: Sequence[int], edge: int) -> int:
    return max(bisect_right(edges, edge) - 1, 0)


def _height(placed: Sequence[dict[int, tuple[int, RowCell]]], number: int, column: int) -> int:
    height = 1
    while number + height < len(placed):
        below = placed[number + height].get(column)
        if below is None or not below[1].is_below:
            break
        height += 1
    return height
