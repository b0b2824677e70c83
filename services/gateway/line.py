"""Line: a client's connection below the `send` of uvicorn, for the pieces of a stream. Used by the relay.

This is uvicorn's inside and no interface of it. So it is used with the releases it was read in only; with any other,
pieces go through `send`, which is right and costs a little more (docs/decisions/0009).
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import uvicorn
from starlette.types import Send

_MODULE = "uvicorn.protocols.http.httptools_impl"
_READ_IN = "0.54."
"""The releases of uvicorn whose `RequestResponseCycle.send` does with a piece of a chunked answer what `write` does."""


class _Flow(Protocol):
    write_paused: bool


class _Cycle(Protocol):
    """What is used of `uvicorn.protocols.http.httptools_impl.RequestResponseCycle`."""

    transport: asyncio.Transport
    flow: _Flow
    disconnected: bool
    response_complete: bool
    chunked_encoding: bool | None


class Line:
    """Writes pieces of one answer."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: _Cycle) -> None:
        self._cycle = cycle

    def write(self, piece: bytes) -> bool:
        """Write a piece that is not empty as one HTTP chunk.

        False, and nothing is written, unless the answer is under way in chunks and its client is there and keeps up;
        `send` knows what to do then.
        """
        cycle = self._cycle
        if cycle.flow.write_paused or cycle.disconnected or cycle.response_complete or not cycle.chunked_encoding:
            return False
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return True


def line_of(send: Send) -> Line | None:
    """The line below `send`; None when that is not uvicorn's own, or of a release that was not read."""
    cycle = getattr(send, "__self__", None)
    if type(cycle).__module__ != _MODULE or not uvicorn.__version__.startswith(_READ_IN):
        return None
    return Line(cast("_Cycle", cycle))
