"""Streams as they pass through real sockets: slow clients, clients that leave, workers that break, events cut anywhere.

Everything is shown twice: over uvicorn's own connection (gateway.line), and by `send`, as with any other server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.foundation.settings.tree import Endpoint, Settings
from services.foundation.settings.tree import Server as ServerSettings
from services.gateway.app import create_app
from services.gateway.line import line_of
from tests.integration.gateway_stack import SERVED, Stack, chunk
from tests.integration.gateway_stack import stack as gateway_stack
from tests.live import serve

_BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "q"}], "stream": True}).encode()
_REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(_BODY) + _BODY
_MOST_ON_THE_WAY_BYTES = 24_000_000
"""What kernels on two connections, the gateway's buffers and the reader's may hold between worker and client."""
Write = Callable[[bytes], Awaitable[None]]
Script = Callable[[Write], Awaitable[None]]
"""Writes a body, piece by piece, to a client that asked."""
each_way = pytest.mark.parametrize("by_line", [True, False], ids=["line", "send"])


@dataclass
class Worker:
    """What a scripted worker did."""

    url: str = ""
    sent_bytes: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def working(script: Script) -> AsyncIterator[Worker]:
    """A worker that answers each request with the script's pieces, one HTTP chunk each, and dies when told to."""
    worker = Worker()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(piece: bytes) -> None:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            worker.sent_bytes += len(piece)

        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                await script(write)
                writer.write(b"0\r\n\r\n")
        except _Breaks:
            writer.transport.abort()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            worker.left.set()
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    worker.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield worker


class _Breaks(Exception):
    """The worker dies here."""


class _AnyServer:
    """Hides whose `send` it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            await send(message)

        await self._app(scope, receive, sent)


def gateway_of(live: Stack) -> ASGIApp:
    """Another gateway before the same controller."""
    controller = Endpoint(port=int(live.controller.rpartition(":")[2]))
    return create_app(Settings(server=ServerSettings(controller=controller), models=SERVED))


@asynccontextmanager
async def relayed(script: Script, *, by_line: bool) -> AsyncIterator[tuple[Worker, str]]:
    """The script's worker behind a gateway; yields it and the gateway's address."""
    async with gateway_stack() as live, working(script) as worker:
        await live.join(worker.url, "m")
        app = gateway_of(live)
        async with serve(app if by_line else _AnyServer(app)) as url:
            yield worker, url


@asynccontextmanager
async def client(
    url: str, *, buffer_bytes: int = 65_536
) -> AsyncIterator[tuple[asyncio.StreamReader, Callable[[], None]]]:
    """A client that has asked; yields what it reads from, and how it asks again."""
    port = int(url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=buffer_bytes)
    writer.write(_REQUEST)
    try:
        yield reader, lambda: writer.write(_REQUEST)
    finally:
        writer.transport.abort()


async def head_of(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def pieces_of(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The chunks of an answer, to its end."""
    while size := int(await reader.readline(), 16):
        yield await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readexactly(2) == b"\r\n"


async def whole(reader: asyncio.StreamReader) -> bytes:
    return b"".join([piece async for piece in pieces_of(reader)])


async def stands_still(worker: Worker) -> int:
    """Bytes the worker could send when it can send no more."""
    before = -1
    async with asyncio.timeout(30):
        while worker.sent_bytes != before or not before:
            before = worker.sent_bytes
            await asyncio.sleep(0.3)
    return before


def large(number: int) -> bytes:
    return b"data: %d %b\n\n" % (number, b"x" * 20_000)


@each_way
async def test_a_slow_client_holds_the_worker_and_gets_every_byte(by_line: bool):
    events = 4_000  # 80 MB

    async def much(write: Write) -> None:
        for number in range(events):
            await write(large(number))

    async with relayed(much, by_line=by_line) as (worker, url), client(url) as (reader, _), asyncio.timeout(60):
        await head_of(reader)
        assert await stands_still(worker) < _MOST_ON_THE_WAY_BYTES, "the rest stays with the worker"
        expected = 0
        rest = b""
        async for piece in pieces_of(reader):
            *whole_events, rest = (rest + piece).split(b"\n\n")
            for event in whole_events:
                assert event + b"\n\n" == large(expected)
                expected += 1
        assert (expected, rest) == (events, b"")


@each_way
async def test_a_slow_client_that_leaves_frees_the_worker(by_line: bool):
    async def endless(write: Write) -> None:
        while True:
            await write(large(0))

    async with relayed(endless, by_line=by_line) as (worker, url):
        async with client(url) as (reader, _):
            await head_of(reader)
            await stands_still(worker)
            assert not worker.left.is_set()
        await asyncio.wait_for(worker.left.wait(), 2.0)


@each_way
async def test_a_client_that_leaves_between_two_events_frees_the_worker(by_line: bool):
    async def slowly(write: Write) -> None:
        while True:
            await write(chunk("a"))
            await asyncio.sleep(0.02)

    async with relayed(slowly, by_line=by_line) as (worker, url):
        async with client(url) as (reader, _):
            await head_of(reader)
            async for number, _piece in _counted(pieces_of(reader)):
                if number == 5:
                    break
        await asyncio.wait_for(worker.left.wait(), 2.0)


async def _counted(pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    number = 0
    async for piece in pieces:
        yield number, piece
        number += 1


@each_way
async def test_a_worker_that_breaks_before_a_slow_client_is_told_after_every_whole_event(by_line: bool):
    events = 200  # 4 MB: more than is on the way when it breaks

    async def breaking(write: Write) -> None:
        for number in range(events):
            await write(large(number))
        await write(b"data: half an eve")
        await asyncio.sleep(0.1)
        raise _Breaks

    async with relayed(breaking, by_line=by_line) as (worker, url), client(url) as (reader, _), asyncio.timeout(30):
        await head_of(reader)
        await asyncio.sleep(0.5)  # it does not read meanwhile
        answer = (await whole(reader)).split(b"\n\n")
    got = [event + b"\n\n" for event in answer[:-2]]
    assert got == [large(number) for number in range(len(got))]
    assert json.loads(answer[-2].removeprefix(b"data: "))["error"]["code"] == "worker_lost"
    assert answer[-1] == b""
    assert worker.sent_bytes > 4_000_000


@each_way
@pytest.mark.parametrize("size", [1, 7, 64, 1000])
async def test_events_cut_anywhere_arrive_whole_and_byte_for_byte(size: int, by_line: bool):
    stream = b"".join(chunk(f"é\u2028{number}") for number in range(12)) + b": ping\r\n\r\ndata: [DONE]\n\n"

    async def cut(write: Write) -> None:
        for start in range(0, len(stream), size):
            await write(stream[start : start + size])
            if start % 5 == 0:
                await asyncio.sleep(0)

    async with relayed(cut, by_line=by_line) as (_, url), client(url) as (reader, again):
        for _ in range(3):  # the connection is as good as before
            await head_of(reader)
            pieces = [piece async for piece in pieces_of(reader)]
            assert b"".join(pieces) == stream
            assert all(piece.endswith((b"\n\n", b"\r\n\r\n")) for piece in pieces), "cut between events only"
            again()


@each_way
async def test_a_foreign_failure_in_the_middle_is_retold(by_line: bool):
    foreign = b'data: {"error": {"message": "EngineCore died", "type": "X", "param": null, "code": 500}}\n\n'

    async def failing(write: Write) -> None:
        for piece in (chunk("a"), chunk("b"), foreign[:20], foreign[20:], b"data: [DONE]\n\n"):
            await write(piece)
            await asyncio.sleep(0.02)

    async with relayed(failing, by_line=by_line) as (_, url), client(url) as (reader, _again):
        await head_of(reader)
        events = (await whole(reader)).split(b"\n\n")
    assert [event + b"\n\n" for event in events[:2]] == [chunk("a"), chunk("b")]
    assert json.loads(events[2].removeprefix(b"data: "))["error"]["code"] == "model.engine_failed"
    assert events[3:] == [b"data: [DONE]", b""]


async def test_uvicorns_connection_takes_pieces_between_those_of_send():
    """What `gateway.line` knows of uvicorn holds for the installed release; if not, read decision 0009."""
    found: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        line = line_of(send)
        assert line is not None, "this release of uvicorn was not read yet"
        found.append(line.write(b"before the head"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(3):
            found.append(line.write(b"line %d\n" % number))
            await send({"type": "http.response.body", "body": b"send %d\n" % number, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        found.append(line.write(b"after the end"))

    async with serve(app) as url, client(url) as (reader, again):
        for _ in range(2):
            assert b"transfer-encoding: chunked" in await head_of(reader)
            assert await whole(reader) == b"".join(b"line %d\nsend %d\n" % (number, number) for number in range(3))
            again()
    assert found[:5] == [False, True, True, True, False]


async def test_an_answer_of_known_length_and_a_server_unknown_have_no_line():
    async def unknown(message: Message) -> None:
        raise AssertionError(message)

    found: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [(b"content-length", b"2")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            line = line_of(send)
            found.append(line is not None and line.write(b"more"))
            await send({"type": "http.response.body", "body": b"ok"})

    assert line_of(unknown) is None
    async with serve(app) as url, client(url) as (reader, _):
        await head_of(reader)
        assert await reader.readexactly(2) == b"ok"
    assert found == [False]


async def test_the_gateway_relays_over_uvicorns_connection():
    """By `send` it would be right as well, and dearer."""
    lines: list[bool] = []

    async def one(write: Write) -> None:
        await write(chunk("a"))

    class Watched:
        def __init__(self, app: ASGIApp) -> None:
            self._app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self._app(scope, receive, send)
            if scope["type"] == "http":
                lines.append(line_of(scope.get("chatchat.send", send)) is not None and "chatchat.send" in scope)

    async with gateway_stack() as live, working(one) as worker:
        await live.join(worker.url, "m")
        async with serve(Watched(gateway_of(live))) as url, client(url) as (reader, _):
            await head_of(reader)
            assert await whole(reader) == chunk("a")
            await asyncio.sleep(0.05)
    assert lines == [True]
