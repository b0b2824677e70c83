"""Cuts a very long sentence down to the stretch that holds most of the question's terms."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

LONGEST_CHARS = 300
_KEPT_CHARS = 260
_SNAP_CHARS = 30
_EDGES = "，,；;、：: \u3000"


def trimmed(text: str, wanted: Iterable[str]) -> str:
    """`text` itself when it is short enough; else its best window, with an ellipsis where something was left out."""
    if len(text) <= LONGEST_CHARS:
        return text
    starts = _starts(text.lower(), wanted)
    sums = [0, *accumulate(starts)]
    last = len(text) - _KEPT_CHARS
    most = max(sums[place + _KEPT_CHARS] - sums[place] for place in range(last + 1))
    fitting = [place for place in range(last + 1) if sums[place + _KEPT_CHARS] - sums[place] == most]
    start = _snapped(text, fitting[len(fitting) // 2]) if most else 0
    end = min(len(text), start + _KEPT_CHARS + _SNAP_CHARS)
    if end < len(text):
        end = max((text.rfind(edge, start + _KEPT_CHARS - _SNAP_CHARS, end) for edge in _EDGES), default=-1)
        end = end if end > start else start + _KEPT_CHARS
    kept = text[start:end].strip(_EDGES)
    return ("…" if start > 0 else "") + kept + ("…" if end < len(text) else "")


def _starts(low: str, wanted: Iterable[str]) -> list[int]:
    """How many of the wanted terms begin at each place."""
    counts = [0] * len(low)
    for term in wanted:
        place = low.find(term)
        while place >= 0:
            counts[place] += 1
            place = low.find(term, place + 1)
    return counts


def _snapped(text: str, start: int) -> int:
    """Begin after the nearest clause's edge before `start`, if one is close."""
    if start <= _SNAP_CHARS:
        return 0
    edge = max(text.rfind(edge, start - _SNAP_CHARS, start) for edge in _EDGES)
    return edge + 1 if edge >= 0 else start
