"""A connection to a worker: every way an answer can come, end and break, without a socket."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.connection import Broken, Connection

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"transfer-encoding: chunked\r\n\r\n"


class Line(asyncio.Transport):
    """What the connection writes and does to its transport."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_aborted = self.is_paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.is_aborted = True

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


def asked() -> tuple[Connection, Line]:
    connection, line = Connection(), Line()
    connection.connection_made(line)
    connection.ask(b"GET / HTTP/1.1\r\n\r\n")
    return connection, line


async def whole(connection: Connection) -> bytes:
    await connection.head()
    body = b""
    while piece := await connection.next_bytes():
        body += piece
    return body


async def test_an_answer_of_known_length_is_read_and_the_connection_serves_again():
    connection, line = asked()
    for body in (b"one", b"three"):
        connection.data_received(_OK + b"X-A: 1\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        assert await whole(connection) == body
        assert connection.status == 200
        assert connection.headers[0] == (b"X-A", b"1")
        connection.idle_since = 10.0
        assert connection.is_reusable(12.0, keep_alive_seconds=3.0)
        assert not connection.is_reusable(13.5, keep_alive_seconds=3.0), "the worker may close it any moment"
        connection.ask(b"again")
    assert line.written == b"GET / HTTP/1.1\r\n\r\nagainagain"


async def test_pieces_come_as_they_are_received():
    connection, _ = asked()
    connection.data_received(_CHUNKED)
    await connection.head()
    waiting = asyncio.ensure_future(connection.next_bytes())
    await asyncio.sleep(0)
    assert not waiting.done()
    connection.data_received(b"3\r\none\r\n")
    assert await waiting == b"one"
    connection.data_received(b"3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n")
    assert await connection.next_bytes() == b"twothree", "what came together goes on together"
    assert await connection.next_bytes() == b""


@given(st.lists(st.integers(min_value=1, max_value=120), max_size=30), st.lists(st.binary(min_size=1), max_size=6))
def test_it_does_not_matter_how_the_bytes_are_cut(cuts: list[int], chunks: list[bytes]):
    async def read() -> bytes:
        connection, _ = asked()
        stream = _CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        for size in cuts:
            connection.data_received(stream[:size])
            stream = stream[size:]
            if not stream:
                break
        if stream:
            connection.data_received(stream)
        return await whole(connection)

    assert asyncio.run(read()) == b"".join(chunks)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_an_answer_without_a_body_is_complete_with_its_head(status: bytes):
    connection, _ = asked()
    connection.data_received(b"HTTP/1.1 " + status + b"\r\n\r\n")
    assert await whole(connection) == b""
    assert connection.is_reusable(0.0, 3.0)


async def test_a_body_may_end_with_the_connection():
    connection, _ = asked()
    connection.data_received(b"HTTP/1.0 200 OK\r\n\r\nall of ")
    connection.data_received(b"it")
    connection.connection_lost(None)
    assert await whole(connection) == b"all of it"
    assert not connection.is_reusable(0.0, 3.0)


async def test_an_interim_answer_is_passed_over():
    connection, _ = asked()
    connection.data_received(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + _OK + b"content-length: 2\r\n\r\nok")
    assert await whole(connection) == b"ok"
    assert (connection.status, connection.headers) == (200, [(b"content-length", b"2")])


async def test_a_worker_that_closes_is_not_asked_again():
    connection, line = asked()
    connection.data_received(_OK + b"connection: close\r\ncontent-length: 2\r\n\r\nok")
    assert await whole(connection) == b"ok"
    assert not connection.is_reusable(0.0, 3.0)
    other, _ = asked()
    other.data_received(_OK + b"content-length: 0\r\n\r\n")
    other.connection_lost(None)
    assert not other.is_reusable(0.0, 3.0)
    assert not line.is_aborted


@pytest.mark.parametrize(
    ("received", "lost"),
    [
        (b"", None),
        (b"", ConnectionResetError("reset")),
        (b"nonsense\r\n\r\n", "never"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", "never"),
    ],
)
async def test_a_break_before_the_head_is_raised_by_who_waits_for_it(received: bytes, lost: Exception | str | None):
    connection, _ = asked()
    waiting = asyncio.ensure_future(connection.head())
    await asyncio.sleep(0)
    if received:
        connection.data_received(received)
    if not isinstance(lost, str):
        connection.connection_lost(lost)
    with pytest.raises(ConnectionError):
        await waiting
    assert not connection.is_reusable(0.0, 3.0)


async def test_what_came_before_a_break_is_handed_out_first():
    connection, line = asked()
    connection.data_received(_CHUNKED + b"3\r\none\r\n")
    connection.data_received(b"no length\r\n")
    await connection.head()
    assert await connection.next_bytes() == b"one"
    with pytest.raises(Broken, match="no HTTP"):
        await connection.next_bytes()
    assert line.is_aborted


async def test_a_head_without_end_is_given_up():
    connection, _ = asked()
    connection.data_received(_OK)
    for _ in range(11):
        connection.data_received(b"x-more: " + b"y" * 100_000 + b"\r\n")
    with pytest.raises(Broken, match="without end"):
        await connection.head()


async def test_bytes_nobody_asked_for_end_the_connection():
    connection, line = asked()
    connection.data_received(_OK + b"content-length: 2\r\n\r\nok")
    assert await whole(connection) == b"ok"
    connection.data_received(_OK + b"content-length: 9\r\n\r\nsmuggled!")
    assert line.is_aborted
    assert not connection.is_reusable(0.0, 3.0)


async def test_a_silent_worker_is_given_up_and_a_slow_reader_is_not():
    connection, line = asked()
    now = asyncio.get_running_loop().time()
    connection.data_received(_CHUNKED)
    connection.give_up_silence(now + 4.0, timeout_seconds=5.0)
    connection.data_received(b"%x\r\n" % 1_100_000 + b"x" * 1_100_000 + b"\r\n")
    assert line.is_paused, "what is not taken stays in the kernel"
    connection.give_up_silence(now + 60.0, timeout_seconds=5.0)
    await connection.head()
    assert len(await connection.next_bytes()) == 1_100_000
    assert not line.is_paused
    waiting = asyncio.ensure_future(connection.next_bytes())
    await asyncio.sleep(0)
    connection.give_up_silence(now + 60.0, timeout_seconds=5.0)
    with pytest.raises(TimeoutError):
        await waiting
    assert line.is_aborted
