"""Properties of characters and paragraphs: packed modifiers (sprm) in pages of 512 bytes, found by file offset."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

_PAGE_BYTES = 512
_ROOMY_BYTES = 8192
_PAGE_MASK = 0x3FFFFF
_OPERAND_BYTES = {0: 1, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2, 7: 3}
_TABLE_DEFINITION = 0xD608
_HUGE = {0x6645, 0x6646}
_TABS = 0xC615

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Modifier:
    """One property: which, and its operand."""

    code: int
    operand: bytes

    @property
    def number(self) -> int:
        """The operand as a number."""
        return int.from_bytes(self.operand[:4], "little")


@dataclass(frozen=True, slots=True)
class Runs(Generic[T]):
    """Properties by the part of the file they hold for."""

    starts: list[int]
    ends: list[int]
    values: list[T]

    def at(self, offset: int) -> T | None:
        """What holds for the byte at an offset."""
        place = bisect_right(self.starts, offset) - 1
        return self.values[place] if place >= 0 and offset < self.ends[place] else None


def modifiers(packed: bytes) -> Iterator[Modifier]:
    """The modifiers in a packed list; what is cut off ends it."""
    at = 0
    while at + 2 < len(packed):
        code = struct.unpack_from("<H", packed, at)[0]
        at += 2
        size = _OPERAND_BYTES.get(code >> 13)
        if code == _TABLE_DEFINITION:
            size = max(int.from_bytes(packed[at : at + 2], "little") - 1, 0)
            at += 2
        elif size is None:
            size = packed[at]
            at += 1
            if code == _TABS and size == 0xFF:
                return  # its length is another count, and nothing we read comes after it
        yield Modifier(code, packed[at : at + size])
        at += size


class Pool:
    """The "Data" stream, where lists too long for a page lie; no more is read from it than twice its size."""

    def __init__(self, stream: bytes) -> None:
        self._stream = stream
        self._left_bytes = 2 * len(stream)

    def unfolded(self, found: Iterator[Modifier]) -> Iterator[Modifier]:
        """The modifiers, with lists that lie here in the place of what refers to them."""
        for modifier in found:
            if modifier.code not in _HUGE:
                yield modifier
                continue
            at = modifier.number
            size = int.from_bytes(self._stream[at : at + 2], "little")
            self._left_bytes -= size
            if self._left_bytes >= 0:
                yield from modifiers(self._stream[at + 2 : at + 2 + size])


def paragraph_entry(page: bytes, number: int, count: int) -> bytes:
    """Style number and packed modifiers of a paragraph, from its page."""
    at = page[4 * (count + 1) + 13 * number] * 2
    if not at:
        return b""
    size = page[at] * 2 - 1
    if size < 0:
        at += 1
        size = page[at] * 2
    return page[at + 1 : at + 1 + size]


def character_entry(page: bytes, number: int, count: int) -> bytes:
    """Packed modifiers of a run of characters, from its page."""
    at = page[4 * (count + 1) + number] * 2
    return page[at + 1 : at + 1 + page[at]] if at else b""


def runs(
    main: bytes, index: bytes, entry: Callable[[bytes, int, int], bytes], value: Callable[[bytes], T | None]
) -> Runs[T]:
    """Read the pages an index lists.

    Args:
        main: the stream the pages lie in.
        index: the table of pages.
        entry: takes one entry's bytes from a page.
        value: what to keep of an entry; None: nothing.
    """
    found: dict[int, tuple[int, T]] = {}
    for page in _pages(main, index):
        count = page[_PAGE_BYTES - 1]
        borders = struct.unpack_from(f"<{count + 1}I", page)
        for number in range(count):
            kept = value(entry(page, number, count))
            if kept is not None and borders[number] < borders[number + 1]:
                found[borders[number]] = (borders[number + 1], kept)
    starts = sorted(found)
    return Runs(starts, [found[start][0] for start in starts], [found[start][1] for start in starts])


def _pages(main: bytes, index: bytes) -> Iterator[bytes]:
    """The pages of an index, each once."""
    count = (len(index) - 4) // 8
    if count < 1:
        return
    numbers = struct.unpack_from(f"<{count}I", index, 4 * (count + 1))
    for number in dict.fromkeys(number & _PAGE_MASK for number in numbers):
        page = main[number * _PAGE_BYTES : (number + 1) * _PAGE_BYTES]
        if len(page) == _PAGE_BYTES:
            yield page.ljust(_ROOMY_BYTES, b"\0")  # a count that lies finds zeros, which mean no entry
