"""Pieces of an answer handed on from within their reading: at once, in order, and not faster than they are taken."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.begun import Begun, begin
from services.gateway.connection import Broken, Connection
from tests.unit.gateway.test_connection import Line, asked

_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


class Taker:
    """Takes pieces; with the gate shut, only after it opens."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.given_up = False

    def take(self, piece: bytes) -> Begun | None:
        return begin(self._take(piece))

    async def _take(self, piece: bytes) -> None:
        try:
            await self.gate.wait()
        except (asyncio.CancelledError, GeneratorExit):
            self.given_up = True
            raise
        self.taken.append(piece)


async def flowing() -> tuple[Connection, Line, Taker, asyncio.Task[None]]:
    connection, line = asked()
    connection.data_received(_HEAD)
    await connection.head()
    taker = Taker()
    task = asyncio.create_task(connection.flow(taker.take))
    await asyncio.sleep(0)
    return connection, line, taker, task


async def test_a_piece_is_taken_before_its_reading_returns():
    connection, _, taker, task = await flowing()
    connection.data_received(chunk(b"one"))
    assert taker.taken == [b"one"], "no turn of the loop between"
    connection.data_received(chunk(b"two") + chunk(b"three"))
    assert taker.taken == [b"one", b"twothree"], "what came together goes on together"
    connection.data_received(chunk(b"four") + _END)
    await task
    assert taker.taken == [b"one", b"twothree", b"four"]
    assert connection.is_reusable(0.0, 3.0)


async def test_what_came_before_is_taken_first():
    connection, _ = asked()
    connection.data_received(_HEAD + chunk(b"one"))
    connection.data_received(chunk(b"two") + _END)
    await connection.head()
    taker = Taker()
    await connection.flow(taker.take)
    assert taker.taken == [b"onetwo"]


async def test_while_one_is_waited_for_the_others_gather():
    connection, line, taker, task = await flowing()
    taker.gate.clear()
    for piece in (b"one", b"two", b"three"):
        connection.data_received(chunk(piece))
        await asyncio.sleep(0)
    assert taker.taken == []
    taker.gate.set()
    await asyncio.sleep(0.01)
    assert taker.taken == [b"one", b"twothree"]
    connection.data_received(chunk(b"four"))
    assert taker.taken[-1] == b"four", "at once again"
    connection.data_received(_END)
    await task
    assert not line.is_aborted


async def test_a_worker_faster_than_the_taker_is_held():
    connection, line, taker, task = await flowing()
    taker.gate.clear()
    piece = b"x" * 100_000
    received = 0
    while not line.is_paused:
        connection.data_received(chunk(piece))
        received += 1
        assert received < 15, "a million bytes are the most that gather"
        await asyncio.sleep(0)
    taker.gate.set()
    await asyncio.sleep(0.01)
    assert not line.is_paused
    connection.data_received(_END)
    await task
    assert b"".join(taker.taken) == piece * received


async def test_a_break_comes_after_what_came_before_it():
    connection, _, taker, task = await flowing()
    taker.gate.clear()
    connection.data_received(chunk(b"one"))
    connection.data_received(chunk(b"two"))
    connection.connection_lost(None)
    await asyncio.sleep(0.01)
    taker.gate.set()
    with pytest.raises(Broken):
        await task
    assert taker.taken == [b"one", b"two"]


async def test_a_piece_and_a_break_in_one_reading():
    connection, line, taker, task = await flowing()
    connection.data_received(chunk(b"one") + b"no length\r\n")
    with pytest.raises(Broken, match="no HTTP"):
        await task
    assert taker.taken == [b"one"]
    assert line.is_aborted


async def test_a_silent_worker_is_given_up():
    connection, _, taker, task = await flowing()
    connection.data_received(chunk(b"one"))
    connection.give_up_silence(asyncio.get_running_loop().time() + 60.0, timeout_seconds=5.0)
    with pytest.raises(TimeoutError):
        await task
    assert taker.taken == [b"one"]


@pytest.mark.parametrize("is_first", [True, False])
async def test_what_the_taker_raises_is_raised_and_ends_the_connection(is_first: bool):
    def take(piece: bytes) -> None:
        if piece == b"bad":
            raise LookupError

    connection, line = asked()
    connection.data_received(_HEAD)
    await connection.head()
    if is_first:
        connection.data_received(chunk(b"bad"))
    task = asyncio.create_task(connection.flow(take))
    await asyncio.sleep(0)
    if not is_first:
        connection.data_received(chunk(b"good"))
        connection.data_received(chunk(b"bad"))
        assert line.is_aborted
    with pytest.raises(LookupError):
        await task
    assert not connection.is_reusable(0.0, 3.0) or is_first


async def test_a_cancelled_flow_gives_the_taker_up_and_takes_no_more():
    connection, _, taker, task = await flowing()
    taker.gate.clear()
    connection.data_received(chunk(b"one"))
    task.cancel()  # before the task could look at it, too
    with pytest.raises(asyncio.CancelledError):
        await task
    assert taker.given_up
    connection.data_received(chunk(b"two"))
    assert taker.taken == []


@given(
    st.lists(st.integers(min_value=1, max_value=60), max_size=30),
    st.lists(st.binary(min_size=1), max_size=8),
    st.lists(st.booleans(), max_size=30),
)
def test_every_byte_is_taken_in_order(cuts: Sequence[int], pieces: Sequence[bytes], shut: Sequence[bool]):
    async def run() -> bytes:
        connection, _, taker, task = await flowing()
        stream = b"".join(chunk(piece) for piece in pieces) + _END
        for number, size in enumerate([*cuts, len(stream)]):
            received, stream = stream[:size], stream[size:]
            if number < len(shut) and shut[number]:
                taker.gate.clear()
            if received:
                connection.data_received(received)
            if number % 3 == 0:
                await asyncio.sleep(0)
            if number % 2:
                taker.gate.set()
        taker.gate.set()
        await task
        return b"".join(taker.taken)

    assert asyncio.run(run()) == b"".join(pieces)
