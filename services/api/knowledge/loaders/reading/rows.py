"""Rows of a table format (CSV, a worksheet) as sections: title lines, the header, groups of neighbouring rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from services.api.domain.knowledge import Place, Section
from services.api.knowledge.loaders.reading.tables import is_figure, markdown_table

REPORT_ROWS = 500
"""How often a reader of rows tells how far it is."""
_GROUP_ROWS = 50
_BLOCK_ROWS = 5000
_NAME_CHARS = 100
_TITLE_CHARS = 80


@dataclass(frozen=True, slots=True)
class Row:
    """A row with text. `number` is 1-based; trailing empty cells are left out."""

    number: int
    cells: list[str]

    @property
    def is_title(self) -> bool:
        """Whether one cell is all it holds."""
        return sum(map(bool, self.cells)) == 1


def row_sections(rows: Iterable[Row], place: Place) -> Iterator[Section]:
    """Sections of numbered rows. A lone cell above other rows is a title; after an empty row it begins a new table."""
    header: list[str] = []
    inner = place
    is_first = True
    for block, after_gap in _blocks(rows):
        titles = _titles(block) if is_first or after_gap else []
        rest = block[len(titles) :]
        if is_first or titles:
            inner = _titled(place, titles)
            named = _names_columns(rest)
            header, rest = (rest[0].cells, rest[1:]) if named else ([], rest)
        is_first = False
        yield from _groups(titles, header, rest, inner)


def _blocks(rows: Iterable[Row]) -> Iterator[tuple[list[Row], bool]]:
    """Runs of rows without an empty one between them, each with whether an empty one came before it."""
    block: list[Row] = []
    after_gap = False
    for row in rows:
        is_gap = bool(block) and row.number != block[-1].number + 1
        if is_gap or len(block) >= _BLOCK_ROWS:
            yield block, after_gap
            block, after_gap = [], is_gap
        block.append(row)
    if block:
        yield block, after_gap


def _titles(block: Sequence[Row]) -> list[Row]:
    """The lone cells above a table. A list, whose rows are all lone cells, has no title."""
    count = 0
    while count < len(block) and block[count].is_title:
        count += 1
    return list(block[:count]) if count < len(block) else []


def _titled(place: Place, titles: Sequence[Row]) -> Place:
    names = [next(filter(None, title.cells))[:_TITLE_CHARS] for title in titles]
    return replace(place, heading=tuple(dict.fromkeys((*place.heading, *names))))


def _names_columns(rows: Sequence[Row]) -> bool:
    """Whether a first row names columns: no figures in it, no long text, most cells filled, and something below it."""
    if len(rows) < 2:
        return False
    cells = _without_margin(rows[0].cells)
    filled = [cell for cell in cells if cell]
    return len(filled) * 2 > len(cells) and not any(is_figure(cell) or len(cell) > _NAME_CHARS for cell in filled)


def _without_margin(cells: Sequence[str]) -> list[str]:
    first = next((place for place, cell in enumerate(cells) if cell), 0)
    return list(cells[first:])


def _groups(titles: Sequence[Row], header: list[str], rows: Sequence[Row], place: Place) -> Iterator[Section]:
    """The rows in groups with the header; titles share the place of the first group and stand above it."""
    begun = titles[0].number if titles else None
    for start in range(0, len(rows), _GROUP_ROWS):
        group = rows[start : start + _GROUP_ROWS]
        spot = replace(place, row=begun or group[0].number, last_row=group[-1].number)
        if begun is not None:
            yield Section("\n".join(next(filter(None, title.cells)) for title in titles), spot)
            begun = None
        yield Section(_markdown(header, group), spot, whole=True)


def _markdown(header: list[str], group: Sequence[Row]) -> str:
    rows = [header, *(row.cells for row in group)]
    width = max(map(len, rows))
    padded = [[*row, *[""] * (width - len(row))] for row in rows]
    used = [column for column in range(width) if any(row[column] for row in padded)]
    named, *body = [[row[column] for column in used] for row in padded]
    return markdown_table(named, body)
