"""Reading order of what is placed freely on a slide. The loaders of presentations call it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
_SAME_ROW_MM = 5


@dataclass(frozen=True, slots=True)
class Placed(Generic[T]):
    """Something and where its upper left corner is, in millimetres."""

    item: T
    top: float = 0.0
    left: float = 0.0


def in_reading_order(things: Sequence[Placed[T]]) -> list[T]:
    """From top to bottom; what begins at almost the same height, from left to right."""
    rows: list[list[Placed[T]]] = []
    for thing in sorted(things, key=lambda placed: placed.top):
        if not rows or thing.top - rows[-1][0].top > _SAME_ROW_MM:
            rows.append([])
        rows[-1].append(thing)
    return [thing.item for row in rows for thing in sorted(row, key=lambda placed: placed.left)]
