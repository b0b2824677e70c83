"""Passages with what stands around them: a hit's neighbours in its section, for the model to read. Used by `hybrid`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from services.api.domain.knowledge import Chunk, ChunkId, Hit
from services.api.domain.ports import Storage
from services.api.domain.surroundings import section

_REACH = 8
"""Positions looked at to either side."""
_OVERLAP_CHARS = 600
"""The longest text that two neighbours are looked through for what they share."""


class Widener:
    """Reads the neighbours of hits from the metadata database."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def widen(self, hits: Sequence[Hit], *, limit_chars: int) -> tuple[Hit, ...]:
        """The hits, each with `shown`: itself and neighbours of its section, up to so many characters in all.

        No chunk is shown twice: one that is a hit itself, or was taken by a better hit, ends the widening there.
        """
        taken = {hit.chunk.id for hit in hits}
        widened = []
        async with self._storage.begin() as work:
            for hit in hits:
                around = await work.chunks.around(hit.chunk.file_id, hit.chunk.position, reach=_REACH)
                shown = _grown(hit.chunk, around, taken, limit_chars)
                taken.update(chunk.id for chunk in shown)
                widened.append(dataclasses.replace(hit, shown=joined([chunk.text for chunk in shown])))
        return tuple(widened)


def _grown(hit: Chunk, around: Sequence[Chunk], taken: set[ChunkId], limit_chars: int) -> list[Chunk]:
    """The hit and its neighbours, taken in turn after it and before it while there is room on that side."""
    run = section([hit, *(chunk for chunk in around if chunk.id != hit.id)], hit)
    at = run.index(hit)
    sides = {1: run[at + 1 :], -1: run[:at][::-1]}
    shown, left = [hit], limit_chars - len(hit.text)
    while sides:
        for side, waiting in list(sides.items()):
            nearest = waiting.pop(0) if waiting else None
            if nearest is None or nearest.id in taken or len(nearest.text) > left:
                del sides[side]
                continue
            left -= len(nearest.text)
            shown.insert(len(shown) if side > 0 else 0, nearest)
    return shown


def joined(texts: Sequence[str]) -> str:
    """Neighbouring texts as one: what the end of one shares with the beginning of the next stands once."""
    whole = texts[0]
    for text in texts[1:]:
        shared = _shared(whole, text)
        whole += text[shared:] if shared else f"\n{text}"
    return whole


def _shared(before: str, after: str) -> int:
    """Length of the longest end of one text that the next begins with."""
    longest = min(len(before), len(after), _OVERLAP_CHARS)
    return next((count for count in range(longest, 0, -1) if before.endswith(after[:count])), 0)
