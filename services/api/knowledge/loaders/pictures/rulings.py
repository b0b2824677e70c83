"""Ruled tables in a picture: the cells that drawn lines enclose. `reading.py` beside calls it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.api.knowledge.loaders.pictures.ocr import Pixels

Rectangle = tuple[int, int, int, int]
"""Left, top, right, bottom."""

_LEAST_LENGTH = 40
_RULED_SHARE = 0.6
_LEAST_CELL = 12
_TABLE_LIMIT = 50
_EDGE_LIMIT = 200
_SAME_EDGE = 6


def ruled_tables(pixels: Pixels) -> list[list[Rectangle]]:
    """For each ruled table its cells; merged cells are one."""
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    ink = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, 15, 8)
    across = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((1, _LEAST_LENGTH), np.uint8))
    down = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((_LEAST_LENGTH, 1), np.uint8))
    across, down = (cv2.dilate(mask, np.ones((3, 3), np.uint8)) for mask in (across, down))
    count, _, stats, _ = cv2.connectedComponentsWithStats(cv2.bitwise_or(across, down))
    largest = sorted(stats[1:count].tolist(), key=lambda found: -found[2] * found[3])[:_TABLE_LIMIT]
    tables = []
    for left, top, width, height, _ in largest:
        window = np.s_[top : top + height, left : left + width]
        cells = _cells(np.asarray(across[window]) > 0, np.asarray(down[window]) > 0)
        if len(cells) > 1:
            tables.append([(x + left, y + top, right + left, bottom + top) for x, y, right, bottom in cells])
    return tables


def _cells(across: NDArray[np.bool_], down: NDArray[np.bool_]) -> list[Rectangle]:
    rows, columns = _edges(across.sum(axis=1)), _edges(down.sum(axis=0))
    if not (2 < len(rows) < _EDGE_LIMIT and 2 < len(columns) < _EDGE_LIMIT):
        return []
    taken: set[tuple[int, int]] = set()
    cells = []
    for row in range(len(rows) - 1):
        for column in range(len(columns) - 1):
            if (row, column) in taken:
                continue
            last = column
            while last + 2 < len(columns) and not _is_ruled(down[rows[row] : rows[row + 1]], columns[last + 1]):
                last += 1
            end = row
            span = across[:, columns[column] : columns[last + 1]].T
            while end + 2 < len(rows) and not _is_ruled(span, rows[end + 1]):
                end += 1
            taken.update((y, x) for y in range(row, end + 1) for x in range(column, last + 1))
            cells.append((columns[column], rows[row], columns[last + 1], rows[end + 1]))
    return cells


def _edges(lengths: Sequence[int] | NDArray[np.int64]) -> list[int]:
    """The places of the rulings: where enough is drawn, each run of neighbouring pixels once."""
    places = np.flatnonzero(np.asarray(lengths) >= _LEAST_LENGTH)
    if len(places) == 0:
        return []
    runs = np.split(places, np.flatnonzero(np.diff(places) > _SAME_EDGE) + 1)
    edges: list[int] = []
    for run in runs:
        place = int(run.mean())
        if not edges or place - edges[-1] >= _LEAST_CELL:
            edges.append(place)
    return edges


def _is_ruled(lines: NDArray[np.bool_], place: int) -> bool:
    """Whether a ruling stands between two cells: it is drawn along most of their common side."""
    strip = lines[:, max(place - _SAME_EDGE, 0) : place + _SAME_EDGE + 1]
    return bool(strip.any(axis=1).mean() >= _RULED_SHARE) if strip.size else False
