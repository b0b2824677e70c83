"""Server-sent events, written and read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from services.foundation.errors import ChatchatError, NoWorker
from services.foundation.sse import (
    closing,
    event_response,
    read_events,
    read_events_sync,
    split_lines,
    split_lines_sync,
)


class Source:
    """Events from a list; knows whether it was closed."""

    def __init__(self, *events: str | Exception, wait_at_end: bool = False) -> None:
        self._events = events
        self._wait = wait_at_end
        self.closed = False

    async def stream(self) -> AsyncIterator[str]:
        try:
            for event in self._events:
                if isinstance(event, Exception):
                    raise event
                yield event
            if self._wait:
                await asyncio.Event().wait()
        finally:
            self.closed = True


def failure(error: ChatchatError) -> str:
    return json.dumps({"error": str(error), "code": error.code})


async def written(source: Source, *, separator: str = "\r\n", leave_after: int | None = None) -> list[Any]:
    """The ASGI messages of the response; the client leaves after so many body messages."""
    messages: list[Any] = []
    left = asyncio.Event()

    async def receive() -> dict[str, str]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        messages.append(message)
        if leave_after is not None and len(messages) > leave_after:
            left.set()
            await asyncio.sleep(0)

    response = event_response(source.stream(), failure=failure, separator=separator)
    async with asyncio.timeout(5):
        await response({"type": "http", "method": "GET"}, receive, send)
    return messages


@pytest.mark.parametrize("separator", ["\r\n", "\n"])
async def test_one_event_is_one_chunk(separator: str):
    start, *chunks, end = await written(Source('{"answer": "一"}', "two", ""), separator=separator)
    ending = separator.encode() * 2
    assert [chunk["body"] for chunk in chunks] == [
        'data: {"answer": "一"}'.encode() + ending,
        b"data: two" + ending,
        b"data: " + ending,
    ]
    assert end == {"type": "http.response.body", "body": b"", "more_body": False}
    headers = dict(start["headers"])
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"cache-control"] == b"no-cache"
    assert headers[b"x-accel-buffering"] == b"no"


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (NoWorker(model="m"), {"error": str(NoWorker(model="m")), "code": "model.no_worker"}),
        (ValueError("secret"), {"error": str(ChatchatError(reason="ValueError")), "code": "internal"}),
    ],
)
async def test_a_failure_is_the_last_event_and_a_clean_end(raised: Exception, expected: dict[str, str]):
    source = Source("one", raised)
    _, first, last, end = await written(source)
    assert first["body"] == b"data: one\r\n\r\n"
    assert json.loads(last["body"].decode().removeprefix("data: ")) == expected
    assert not end["more_body"]
    assert source.closed


async def test_the_source_is_closed_when_the_consumer_leaves():
    source = Source("one", "two", wait_at_end=True)
    await written(source, leave_after=2)
    assert source.closed


async def test_the_source_is_closed_at_the_end():
    source = Source("one")
    await written(source)
    assert source.closed


async def test_closing_closes_whatever_can_be_closed():
    source = Source("one", "two")
    async with closing(source.stream()) as events:
        assert await anext(events) == "one"
    assert source.closed


READ = [
    (["data: one", "", "data: two", ""], ["one", "two"]),
    (["data:one", ""], ["one"]),
    (["data:  one", ""], [" one"]),
    ([": ping", "", "data: one", ": ping", "data: more", ""], ["one\nmore"]),
    (["event: x", "id: 3", "retry: 5", "data: one", ""], ["one"]),
    (["", "", "data: one", "", ""], ["one"]),
    (["data: cut"], ["cut"]),
    (["data: one", "", ": end"], ["one"]),
    (["data:", ""], [""]),
    (["dataset: one", ""], []),
    ([], []),
]


async def _aiter(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


@pytest.mark.parametrize(("lines", "events"), READ)
async def test_reads(lines: list[str], events: list[str]):
    assert [text async for text in read_events(_aiter(lines))] == events


@pytest.mark.parametrize(("lines", "events"), READ)
def test_reads_synchronously(lines: list[str], events: list[str]):
    assert list(read_events_sync(iter(lines))) == events


def _bytewise(text: str) -> Iterator[bytes]:
    for byte in text.encode():
        yield bytes([byte])


TEXT = "data: 一\u2028二\u2029三\x85四\x0c五\r\n\r\ndata: 六\n\ndata: 七\r\rdata: 八"


@pytest.mark.parametrize("whole", [True, False])
async def test_only_cr_and_lf_end_a_line(whole: bool):
    chunks = [TEXT.encode()] if whole else list(_bytewise(TEXT))
    events = [text async for text in read_events(split_lines(_aiter(chunks)))]
    assert events == ["一\u2028二\u2029三\x85四\x0c五", "六", "七", "八"]


def test_synchronous_lines_are_split_as_the_asynchronous_ones_are() -> None:
    received = ["data: 一\u2028二\r\n\r\nda".encode(), b"ta: three\n", b"\ndata: last"]
    assert list(read_events_sync(split_lines_sync(iter(received)))) == ["一\u2028二", "three", "last"]
