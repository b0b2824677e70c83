"""The gateway's client towards workers, over real sockets: connections kept, dropped, given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from services.foundation.errors import ServiceUnreachable, TookTooLong
from services.gateway.upstream import Upstream
from tests.live import free_port

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Worker:
    """A server on loopback; `heads` are the requests it got, `left` the connections that ended."""

    url: str = ""
    connections: int = 0
    left: int = 0
    heads: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def working(behave: Behaviour | None = None) -> AsyncIterator[Worker]:
    worker = Worker()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        worker.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                worker.heads.append(head)
                if b"content-length: " in head:
                    await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
                await (behave or _answer)(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            worker.left += 1
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    worker.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield worker


async def _answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_ANSWER)


@asynccontextmanager
async def upstream(timeout_seconds: float = 5.0) -> AsyncIterator[Upstream]:
    made = Upstream(timeout_seconds)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5.0):
        while not condition():
            await asyncio.sleep(0.01)


async def test_one_connection_serves_one_call_after_another():
    async with working() as worker, upstream() as client:
        for _ in range(3):
            assert await client.fetch(f"{worker.url}/v1/x?a=1", {"n": 1}, "r-1") == (200, b"ok")
        assert await client.get(f"{worker.url}/v1/models", 2.0) == (200, b"ok")
    assert worker.connections == 1
    head = worker.heads[0].decode()
    assert head.startswith("POST /v1/x?a=1 HTTP/1.1\r\n")
    assert f"host: {worker.url.removeprefix('http://')}\r\n" in head
    assert "x-request-id: r-1\r\n" in head
    assert worker.heads[-1].startswith(b"GET /v1/models HTTP/1.1\r\n")


async def test_calls_at_once_have_connections_of_their_own():
    async with working() as worker, upstream() as client:
        await asyncio.gather(*(client.fetch(f"{worker.url}/x", {}, "") for _ in range(20)))
        assert worker.connections == 20
        await client.fetch(f"{worker.url}/x", {}, "")
        assert worker.connections == 20
    await until(lambda: worker.left == 20)


async def test_a_connection_the_worker_closed_is_not_used_again():
    async def answer_and_close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_ANSWER)
        await writer.drain()
        raise ConnectionResetError

    async with working(answer_and_close) as worker, upstream() as client:
        for _ in range(3):
            assert (await client.fetch(f"{worker.url}/x", {}, ""))[0] == 200
            await until(lambda: worker.left == worker.connections)
            await asyncio.sleep(0.05)
        assert worker.connections == 3


async def test_an_idle_connection_is_closed_before_the_worker_does():
    async with working() as worker, upstream() as client:
        await client.fetch(f"{worker.url}/x", {}, "")
        await until(lambda: worker.left == 1)


async def test_an_answer_that_is_left_ends_its_connection_at_once():
    async def stream(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with working(stream) as worker, upstream() as client:
        answer = await client.post(f"{worker.url}/x", b"{}", "")
        assert await answer.next_bytes()
        answer.close()
        answer.close()
        async with asyncio.timeout(1.0):
            await until(lambda: worker.left == 1)


async def test_a_worker_that_keeps_silent_is_named_and_one_that_speaks_slowly_is_not():
    async def slowly(__: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n")
        for _ in range(6):
            await asyncio.sleep(0.15)
            writer.write(b"x")
        await asyncio.sleep(30)

    async with working(slowly) as worker, upstream(timeout_seconds=0.4) as client:
        assert await client.fetch(f"{worker.url}/x", {}, "") == (200, b"xxxxxx")
        with pytest.raises(TookTooLong):
            await client.fetch(f"{worker.url}/x", {}, "")  # the connection is kept, and its worker asleep


async def test_nobody_there_and_a_slow_get_are_named():
    async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with working(never) as worker, upstream() as client:
        with pytest.raises(ServiceUnreachable, match="ConnectionRefusedError"):
            await client.fetch(f"http://127.0.0.1:{free_port()}/x", {}, "")
        with pytest.raises(TookTooLong, match=r"0\.2"):
            await client.get(f"{worker.url}/v1/models", 0.2)
    with pytest.raises(ServiceUnreachable, match="has not started"):
        await Upstream(1.0).fetch(f"{worker.url}/x", {}, "")
