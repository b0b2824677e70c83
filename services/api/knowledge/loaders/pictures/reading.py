"""Reads one picture whichever way up it is: its lines and ruled tables. The loaders call it through `cache.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.api.knowledge.loaders.pictures.ocr import Line, Pixels, recognise
from services.api.knowledge.loaders.pictures.rulings import Rectangle, ruled_tables
from services.api.knowledge.loaders.pictures.sizes import bands, fitted

_CERTAIN = 0.85
_KEPT = 0.5
_TALL_SHARE = 0.5
_LEAST_TALL = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """What stands in a picture that was turned upright.

    Attributes:
        tables: for each ruled table its cells.
    """

    lines: tuple[Line, ...] = ()
    tables: tuple[tuple[Rectangle, ...], ...] = ()


def read_picture(pixels: Pixels, heard: Callable[[], None] = lambda: None) -> Reading:
    """Read a picture; when that goes badly, try it the other ways up and keep the best.

    Args:
        pixels: the picture.
        heard: called after each few lines.
    """
    best = _read(pixels, heard)
    tried = [best]
    for quarters in _turns(best.lines):
        turned = _read(np.rot90(pixels, quarters), heard)
        tried.append(turned)
        if _is_certain(turned.lines) and not _lies_down(turned.lines):
            break
    best = max(tried, key=lambda reading: _worth(reading.lines))
    return replace(best, lines=tuple(line for line in best.lines if line.confidence >= _KEPT))


def _read(pixels: Pixels, heard: Callable[[], None]) -> Reading:
    picture = fitted(pixels)
    if picture is None:
        return Reading()
    lines = [
        replace(line, top=line.top + first, bottom=line.bottom + first)
        for first, band in bands(picture)
        for line in recognise(np.ascontiguousarray(band), heard)
    ]
    tables = ruled_tables(picture) if lines else []
    return Reading(tuple(lines), tuple(map(tuple, tables)))


def _turns(lines: Sequence[Line]) -> tuple[int, ...]:
    """Quarter turns worth trying, the likeliest first."""
    if not lines:
        return ()
    if _lies_down(lines):
        # The engine turns tall lines to the left, so those that it read well lie that way.
        return (1, 3) if _is_certain(lines) else (3, 1)
    return () if _is_certain(lines) else (2,)


def _lies_down(lines: Sequence[Line]) -> bool:
    written = sum(len(line.text) for line in lines)
    tall = [len(line.text) for line in lines if line.is_tall]
    return len(tall) >= min(_LEAST_TALL, len(lines)) and sum(tall) > _TALL_SHARE * written


def _is_certain(lines: Sequence[Line]) -> bool:
    written = sum(len(line.text) for line in lines)
    return sum(line.confidence * len(line.text) for line in lines) >= _CERTAIN * written


def _worth(lines: Sequence[Line]) -> float:
    """How much was read: sure characters count, and those of lines that run downwards only half."""
    return sum(
        (line.confidence - _KEPT) * len(line.text) * (0.5 if line.is_tall else 1)
        for line in lines
        if line.confidence > _KEPT
    )
