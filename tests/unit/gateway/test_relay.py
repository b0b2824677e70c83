"""Events are passed on whole; a client that leaves cancels the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.foundation.errors import NoWorker
from services.gateway.relay import WatchedResponse, whole_events


async def _stream(*chunks: bytes):
    for chunk in chunks:
        yield chunk


async def _events(*chunks: bytes) -> list[bytes]:
    return [piece async for piece in whole_events(_stream(*chunks))]


async def test_a_chunk_that_ends_an_event_passes_at_once():
    assert await _events(b"data: 1\n\n", b"data: 2\r\n\r\n") == [b"data: 1\n\n", b"data: 2\r\n\r\n"]


async def test_part_of_an_event_waits_for_its_end():
    assert await _events(b"data: 1\n\nda", b"ta: 2\n", b"\nx") == [b"data: 1\n\n", b"data: 2\n\n", b"x"]


async def test_part_of_an_event_is_dropped_when_the_stream_breaks():
    async def breaking() -> AsyncIterator[bytes]:
        yield b'data: {"a": 1}\n\ndata: {"b'
        raise NoWorker(model="m")

    pieces = whole_events(breaking())
    assert await anext(pieces) == b'data: {"a": 1}\n\n'
    with pytest.raises(NoWorker):
        await anext(pieces)


@given(st.lists(st.sampled_from([b"data: x", b"\n", b"\n\n", b"\r\n", b"\r\n\r\n", b": ping"]), max_size=12))
def test_every_byte_passes_in_order(chunks):
    assert b"".join(asyncio.run(_events(*chunks))) == b"".join(chunks)


class Client:
    """An ASGI client that leaves when told to."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self.sent: list[dict[str, object]] = []

    async def receive(self):
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)


async def test_a_client_that_leaves_cancels_the_work():
    client, cancelled = Client(), asyncio.Event()

    async def produce(scope, send):
        client.leaves.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    await WatchedResponse(produce)({}, client.receive, client.send)
    assert cancelled.is_set()


async def test_a_cancelled_server_task_cancels_the_work_and_says_so():
    client, cancelled = Client(), asyncio.Event()

    async def produce(scope, send):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    task = asyncio.create_task(WatchedResponse(produce)({}, client.receive, client.send))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()


async def test_a_failure_before_the_first_byte_is_raised():
    client = Client()

    async def produce(scope, send):
        raise NoWorker(model="m")

    with pytest.raises(NoWorker):
        await WatchedResponse(produce)({}, client.receive, client.send)
    assert client.sent == []
