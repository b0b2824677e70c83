"""What stands around a chunk in its file: its neighbours, and the section it belongs to. Pure; for use at answer time.

A chunk knows its position in the file and its place, and a splitter never joins two places, so no more is needed: the
neighbours are position ± n, and a section is the run of positions around the chunk whose places have its heading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

from services.api.domain.knowledge import Chunk, Place


def neighbours(chunks: Sequence[Chunk], chunk: Chunk, *, reach: int = 1) -> list[Chunk]:
    """The chunk with up to `reach` chunks before and after it, in order.

    Args:
        chunks: of any files, in any order; those of another file or version are left out.
        chunk: one of them.
        reach: how many positions to either side.
    """
    return [other for other in _of_file(chunks, chunk) if abs(other.position - chunk.position) <= reach]


def section(chunks: Sequence[Chunk], chunk: Chunk, *, depth: int | None = None) -> list[Chunk]:
    """The chunks of the section that a chunk stands in, itself among them, in order.

    Where the file has headings, they are the neighbouring chunks with the same heading path, on whatever pages; else
    those of the same page or worksheet; a file with neither is one section.

    Args:
        chunks: as in `neighbours`.
        chunk: one of them.
        depth: how many titles of the path must agree: 1 gives the whole chapter; None: all, and no further ones.
    """
    belongs = _in_place_of(chunk.place, depth)
    file = _of_file(chunks, chunk)
    before = [other for other in reversed(file) if other.position < chunk.position]
    after = [other for other in file if other.position > chunk.position]
    above = list(takewhile(lambda other: belongs(other.place), before))
    return [*reversed(above), chunk, *takewhile(lambda other: belongs(other.place), after)]


def _in_place_of(place: Place, depth: int | None) -> Callable[[Place], bool]:
    if not place.heading:
        return lambda other: (other.heading, other.page, other.sheet) == ((), place.page, place.sheet)
    if depth is None:
        return lambda other: (other.heading, other.sheet) == (place.heading, place.sheet)
    return lambda other: (other.heading[:depth], other.sheet) == (place.heading[:depth], place.sheet)


def _of_file(chunks: Sequence[Chunk], chunk: Chunk) -> list[Chunk]:
    own = [other for other in chunks if (other.file_id, other.version) == (chunk.file_id, chunk.version)]
    return sorted(own, key=lambda other: other.position)
