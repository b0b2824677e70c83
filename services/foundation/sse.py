"""Server-sent events: written (`event_response`) and read (`read_events`), a failure mid-stream included.

Format: WHATWG HTML, section 9.2. Each event is one `data:` line, and one HTTP chunk: 0.2.x clients depend on it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

from sse_starlette import EventSourceResponse, ServerSentEvent

from services.foundation.errors import ChatchatError

log = logging.getLogger(__name__)
PING_SECONDS = 15
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
T = TypeVar("T")


@asynccontextmanager
async def closing(events: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Close `events` when the block ends, however it ends. A generator left to the garbage collector closes late."""
    try:
        yield events
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()


def event_response(
    events: AsyncIterator[str],
    *,
    failure: Callable[[ChatchatError], str],
    separator: str = "\r\n",
) -> EventSourceResponse:
    """Stream `events`, one `data:` line each.

    A failure after the first byte becomes one last event, made by `failure`, and a clean end of the stream.
    When the client goes away the iterator is closed, so that whatever feeds it stops.

    Args:
        events: the text of each event; must hold no line break.
        failure: renders the failure as the text of an event.
        separator: line end; 0.2.10 used CR LF, OpenAI uses LF.
    """

    async def guarded() -> AsyncIterator[ServerSentEvent]:
        try:
            async with closing(events):
                async for text in events:
                    yield ServerSentEvent(data=text, sep=separator)
        except ChatchatError as error:
            log.warning("stream ended by: %s", error)
            yield ServerSentEvent(data=failure(error), sep=separator)
        except Exception as error:
            log.exception("stream failed")
            yield ServerSentEvent(data=failure(ChatchatError(reason=type(error).__name__)), sep=separator)

    return EventSourceResponse(guarded(), headers=_HEADERS, ping=PING_SECONDS, sep=separator)


async def split_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The lines of an event stream, without their ends.

    Only CR, LF and CR LF end a line. `httpx.Response.aiter_lines` also ends one at U+2028, U+0085 and others, which
    stand unescaped inside JSON and would cut an event in two.
    """
    rest = b""
    async for chunk in chunks:
        lines, rest = _whole_lines(rest + chunk)
        for line in lines:
            yield line
    for last in rest.splitlines():
        yield last.decode("utf-8", "replace")


def split_lines_sync(chunks: Iterator[bytes]) -> Iterator[str]:
    """`split_lines` for synchronous clients."""
    rest = b""
    for chunk in chunks:
        lines, rest = _whole_lines(rest + chunk)
        yield from lines
    for last in rest.splitlines():
        yield last.decode("utf-8", "replace")


def _whole_lines(received: bytes) -> tuple[list[str], bytes]:
    """The lines that have come whole, and the beginning of the next."""
    lines = received.splitlines(keepends=True)  # of bytes: CR, LF and CR LF only
    rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
    return [line.decode("utf-8", "replace").rstrip("\r\n") for line in lines], rest


async def read_events(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """The `data` of each event in a stream of lines (without their ends). Comments and other fields are skipped."""
    collected: list[str] = []
    async for line in lines:
        text = _field(line)
        if text is not None:
            collected.append(text)
        elif not line and collected:
            yield "\n".join(collected)
            collected = []
    if collected:
        yield "\n".join(collected)


def read_events_sync(lines: Iterator[str]) -> Iterator[str]:
    """`read_events` for synchronous clients."""
    collected: list[str] = []
    for line in lines:
        text = _field(line)
        if text is not None:
            collected.append(text)
        elif not line and collected:
            yield "\n".join(collected)
            collected = []
    if collected:
        yield "\n".join(collected)


def _field(line: str) -> str | None:
    if not line.startswith("data:"):
        return None
    return line[5:].removeprefix(" ")
