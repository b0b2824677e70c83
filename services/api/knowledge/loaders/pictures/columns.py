"""Where recognised lines stand → rows, and bands of rows that share columns. `lines.py` beside calls it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from services.api.knowledge.loaders.pictures.ocr import Line
from services.api.knowledge.loaders.reading.cleaning import clean_line, join_lines
from services.api.knowledge.splitters.measure import THIRDS, width

_SAME_ROW = 0.5
_GAP = 1.0
_APART = 0.5
_OVERLAP = 0.25
_LEAST_ROWS = 3
_PROSE_WIDTH = 9 * THIRDS
_PROSE_FILL = 0.6
_TABLE_SHARE = 0.6
_ALIGNED = 1.2

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Row:
    """Lines side by side, from left to right."""

    lines: tuple[Line, ...]

    @property
    def left(self) -> float:
        """Where it begins."""
        return self.lines[0].left

    @property
    def right(self) -> float:
        """Where it ends."""
        return max(line.right for line in self.lines)

    @property
    def top(self) -> float:
        """Its upper edge."""
        return min(line.top for line in self.lines)

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return max(line.bottom for line in self.lines)

    @property
    def height(self) -> float:
        """Of its letters."""
        return median(line.height for line in self.lines)

    @property
    def text(self) -> str:
        """The text, with a space where its parts stand apart."""
        parts = [self.lines[0].text]
        for before, line in zip(self.lines, self.lines[1:], strict=False):
            if line.left - before.right > _APART * self.height:
                parts.append(line.text)
            else:
                parts[-1] = join_lines([parts[-1], line.text])
        return " ".join(parts)

    @property
    def is_divided(self) -> bool:
        """Whether it holds a wide space, as running text does not."""
        return bool(_gaps(self.lines))


def rows(lines: Sequence[Line]) -> list[Row]:
    """Lines as rows from top to bottom: those whose middles are nearly as high stand in one."""
    groups: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.middle):
        last = groups[-1] if groups else []
        if last and abs(line.middle - _middle(last)) < _SAME_ROW * min(line.height, last[-1].height):
            last.append(line)
        else:
            groups.append([line])
    return [Row(tuple(sorted(group, key=lambda line: line.left))) for group in groups]


def _middle(lines: Sequence[Line]) -> float:
    return sum(line.middle for line in lines) / len(lines)


@dataclass(frozen=True, slots=True)
class Band:
    """Lines that share wide spaces from top to bottom; without any: one column."""

    lines: list[Line]
    gaps: list[Span]

    @property
    def is_table(self) -> bool:
        """Whether its columns are those of a table: short texts that line up, in most rows side by side."""
        found = rows(self.lines)
        if not self.gaps or len(found) < _LEAST_ROWS or self._is_prose:
            return False
        beside = sum(1 for row in found if len(self._placed(row.lines)) > 1)
        return beside >= _TABLE_SHARE * len(found) and all(map(_lines_up, self._placed(self.lines).values()))

    def columns(self) -> list[list[Line]]:
        """Its lines, column by column; rows that only happen to have spaces stay one column."""
        if not self._is_prose:
            return [self.lines]
        return [lines for _, lines in sorted(self._placed(self.lines).items())]

    def cells(self) -> list[list[str]]:
        """The texts of a table, row by row."""
        placed = (self._placed(row.lines) for row in rows(self.lines))
        columns = range(len(self.gaps) + 1)
        return [[_text(found.get(column, [])) for column in columns] for found in placed]

    @property
    def _is_prose(self) -> bool:
        columns = self._placed(self.lines).values()
        return len(columns) > 1 and all(len(rows(lines)) >= _LEAST_ROWS and _fills(lines) for lines in columns)

    def _placed(self, lines: Sequence[Line]) -> dict[int, list[Line]]:
        """The lines by the number of their column."""
        found: dict[int, list[Line]] = {}
        for line in lines:
            middle = (line.left + line.right) / 2
            found.setdefault(sum(1 for left, right in self.gaps if middle > (left + right) / 2), []).append(line)
        return found


def bands(lines: Sequence[Line]) -> Iterator[Band]:
    """The page from top to bottom: a band ends where something covers all the spaces of what stood above it."""
    held: list[Line] = []
    gaps: list[Span] = []
    for layer in _layers(lines):
        narrowed = _free(gaps, layer) if gaps else _gaps(layer)
        if held and bool(narrowed) != bool(gaps):
            yield Band(held, gaps)
            held, narrowed = [], _gaps(layer)
        held.extend(layer)
        gaps = narrowed
    if held:
        yield Band(held, gaps)


def _layers(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Lines that overlap in height, directly or through others: a row, or columns whose rows are not level."""
    layer: list[Line] = []
    reach = 0.0
    for line in sorted(lines, key=lambda line: line.top):
        if layer and reach - line.top < _OVERLAP * line.height:
            yield layer
            layer = []
        reach = max(reach, line.bottom) if layer else line.bottom
        layer.append(line)
    if layer:
        yield layer


def _gaps(layer: Sequence[Line]) -> list[Span]:
    """The wide spaces that run through a layer."""
    least = _GAP * median(line.height for line in layer)
    first, *rest = sorted(layer, key=lambda line: line.left)
    reach = first.right
    found = []
    for line in rest:
        if line.left - reach > least:
            found.append((reach, line.left))
        reach = max(reach, line.right)
    return found


def _free(gaps: Sequence[Span], layer: Sequence[Line]) -> list[Span]:
    """What a layer leaves of the spaces."""
    least = _GAP / 2 * median(line.height for line in layer)
    free = list(gaps)
    for line in layer:
        parts = ((left, min(right, line.left), max(left, line.right), right) for left, right in free)
        free = [span for a, b, c, d in parts for span in ((a, b), (c, d)) if span[1] - span[0] > least]
    return free


def _text(lines: Sequence[Line]) -> str:
    return clean_line(Row(tuple(lines)).text) if lines else ""


def _fills(column: Sequence[Line]) -> bool:
    """Whether lines are long and mostly fill their column."""
    reach = max(line.right for line in column) - min(line.left for line in column)
    texts = median(width(line.text) for line in column)
    return texts >= _PROSE_WIDTH and median(line.right - line.left for line in column) >= _PROSE_FILL * reach


def _lines_up(column: Sequence[Line]) -> bool:
    """Whether most lines of a column share their left edge, their right edge or their middle."""
    near = _ALIGNED * median(line.height for line in column)
    edges = ([line.left for line in column], [line.right for line in column])
    middles = [(line.left + line.right) / 2 for line in column]
    return any(
        sum(abs(value - median(values)) <= near for value in values) >= _TABLE_SHARE * len(values)
        for values in (*edges, middles)
    )
