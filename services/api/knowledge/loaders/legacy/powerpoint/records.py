"""Records of a PowerPoint file: eight bytes of head, then bytes or, in a container, more records."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HEAD_BYTES = 8
_CONTAINER = 0xF
_DEEPEST = 64


@dataclass(frozen=True, slots=True)
class Record:
    """A record: what it is, and where its content lies in the stream.

    Attributes:
        kind: the record's type.
        instance: a number whose meaning depends on the type.
        is_container: whether its content is records.
        start, end: its content, never past the end of what it lies in.
    """

    kind: int
    instance: int
    is_container: bool
    start: int
    end: int


def record_at(stream: bytes, at: int, end: int) -> Record | None:
    """The record at an offset; None when there is no room for one."""
    if at < 0 or at + _HEAD_BYTES > end:
        return None
    head, kind, length = struct.unpack_from("<HHI", stream, at)
    start = at + _HEAD_BYTES
    return Record(kind, head >> 4, head & 0xF == _CONTAINER, start, min(start + length, end))


def records(stream: bytes, start: int, end: int) -> Iterator[Record]:
    """The records that lie side by side in a part of the stream."""
    at = start
    while (record := record_at(stream, at, end)) is not None:
        yield record
        at = record.end


def inner(stream: bytes, record: Record) -> Iterator[Record]:
    """The records directly in a container."""
    if record.is_container:
        yield from records(stream, record.start, record.end)


def walk(stream: bytes, record: Record) -> Iterator[Record]:
    """All records in a container, in the order of the file; containers come before what is in them."""
    stack = [inner(stream, record)]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            continue
        yield found
        if found.is_container and len(stack) < _DEEPEST:
            stack.append(inner(stream, found))
