"""Tables as Markdown: a header line, a rule, one line per row. Merged cells spread, empty columns dropped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from services.api.knowledge.loaders.reading.cleaning import clean_line

_REPEATED_CHARS = 1000
_COLUMN_LIMIT = 300
_LEADING = frozenset("$€£¥￥(")
_TRAILING = frozenset({")", "%", ")%", "）"})
_NUMBER = re.compile(r"[(（]?[-+−]?[$€£¥￥]?\s*\d[\d,.]*\s*[%)）]?|-|—|–")
_YEAR = re.compile(r"(?:19|20)\d\d")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell where it begins, and how far it reaches."""

    text: str
    rows: int = 1
    columns: int = 1


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a rendered table: Markdown rows, or a caption that spanned the whole width."""

    text: str
    is_table: bool


@dataclass(frozen=True, slots=True)
class _Slot:
    text: str = ""
    from_left: bool = False
    from_above: bool = False


def markdown_row(cells: Sequence[str]) -> str:
    """One row; a cell never holds a line end, and its own bars are escaped."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Header, rule, rows; without the first two when there is no header."""
    lines = [markdown_row(row) for row in rows]
    if any(header):
        lines[:0] = [markdown_row(header), "|" + " --- |" * len(header)]
    return "\n".join(lines)


def render(rows: Sequence[Sequence[Cell]]) -> Iterator[Block]:
    """A laid-out table (HTML, Word, PDF) as Markdown; a row that spans the table captions what follows it."""
    grid = _without_empty(_with_units(_spread(rows)))
    if not grid:
        return
    if len(grid) == 1 or len(grid[0]) == 1:
        yield Block("\n".join(" ".join(slot.text for slot in row if slot.text) for row in grid), is_table=False)
        return
    part: list[list[_Slot]] = []
    for row in grid:
        is_caption = all(slot.from_left for slot in row[1:])
        if part and (is_caption or _is_second_header(part, row)):
            yield _rendered(part)
            part = []
        if is_caption:
            yield Block(row[0].text, is_table=False)
        else:
            part.append(row)
    if part:
        yield _rendered(part)


def _spread(rows: Sequence[Sequence[Cell]]) -> list[list[_Slot]]:
    """Lay cells with spans on a grid, as HTML does."""
    grid: list[dict[int, _Slot]] = [{} for _ in rows]
    for number, row in enumerate(rows):
        column = 0
        for cell in row:
            while column in grid[number]:
                column += 1
            if column >= _COLUMN_LIMIT:
                break
            _lay(grid, number, column, cell)
    width = max((max(slots, default=-1) + 1 for slots in grid), default=0)
    return [[slots.get(column, _Slot()) for column in range(width)] for slots in grid]


def _lay(grid: list[dict[int, _Slot]], number: int, column: int, cell: Cell) -> None:
    text = clean_line(cell.text)
    rows = cell.rows if len(text) <= _REPEATED_CHARS else 1  # a long text in each row it reaches down to is a flood
    for below in range(min(max(rows, 1), len(grid) - number)):
        for right in range(min(max(cell.columns, 1), _COLUMN_LIMIT - column)):
            grid[number + below].setdefault(column + right, _Slot(text, right > 0, below > 0))


def _with_units(grid: list[list[_Slot]]) -> list[list[_Slot]]:
    """Currency signs, brackets and percent signs that stand in cells of their own join their number."""
    for row in grid:
        for place, slot in enumerate(row):
            if slot.text in _LEADING and place + 1 < len(row) and row[place + 1].text and not row[place + 1].from_left:
                row[place + 1] = replace(row[place + 1], text=slot.text + row[place + 1].text)
                row[place] = _Slot()
            elif slot.text in _TRAILING and place and row[place - 1].text:
                row[place - 1] = replace(row[place - 1], text=row[place - 1].text + slot.text)
                row[place] = _Slot()
    return grid


def _without_empty(grid: list[list[_Slot]]) -> list[list[_Slot]]:
    """Drop rows without text, and columns in which no row has a text that ends there."""
    rows = [row for row in grid if any(slot.text for slot in row)]
    for column in reversed(range(len(rows[0]) if rows else 0)):
        if all(_is_idle(row, column) for row in rows):
            for row in rows:
                if not row[column].from_left and column + 1 < len(row):
                    row[column + 1] = replace(row[column + 1], from_left=False)
                del row[column]
    return rows


def _is_idle(row: list[_Slot], column: int) -> bool:
    reaches_on = column + 1 < len(row) and row[column + 1].from_left
    return not row[column].text or reaches_on or (row[column].from_left and column + 1 == len(row))


def _is_second_header(part: list[list[_Slot]], row: list[_Slot]) -> bool:
    """A row in mid-table that names columns anew: an empty corner like the header's, and no number in it."""
    if len(part) < 2 or part[0][0].text or row[0].text:
        return False
    return all(slot.text and not any(char.isdigit() for char in slot.text) for slot in row[1:])


def _rendered(part: list[list[_Slot]]) -> Block:
    part = _without_empty(part)
    height = _header_height(part)
    header = [_column_name([row[column] for row in part[:height]]) for column in range(len(part[0]))]
    body = [["" if slot.from_left else slot.text for slot in row] for row in part[height:]]
    if not body:
        return Block(" ".join(name for name in header if name), is_table=False)
    return Block(markdown_table(header if height else [], body), is_table=True)


def _header_height(part: list[list[_Slot]]) -> int:
    """Rows of the header: the first, and those its cells reach down to while another cell of it is divided below."""
    if any(is_figure(slot.text) for slot in part[0][1:]):
        return 0
    height = 1
    divided = any(slot.from_left for slot in part[0])
    while divided and height < min(4, len(part) - 1) and any(slot.from_above for slot in part[height]):
        height += 1
    return height


def is_figure(text: str) -> bool:
    """A number that is no year: a row of figures names no columns."""
    return bool(_NUMBER.fullmatch(text)) and any(map(str.isdigit, text)) and not _YEAR.fullmatch(text)


def _column_name(slots: Sequence[_Slot]) -> str:
    return " ".join(dict.fromkeys(slot.text for slot in slots if slot.text))
