"""A coroutine is run without a task until it waits, and a task goes on with it."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.begun import Begun, begin


class Work:
    """Waits for each of its gates in turn."""

    def __init__(self, gates: int) -> None:
        self.gates = [asyncio.Event() for _ in range(gates)]
        self.passed = 0
        self.ended = ""

    async def run(self) -> None:
        try:
            for gate in self.gates:
                await gate.wait()
                self.passed += 1
            self.ended = "done"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        except GeneratorExit:
            self.ended = "closed"
            raise


async def whole(rest: Begun) -> None:
    await rest


async def test_what_never_waits_is_done_at_once():
    work = Work(2)
    for gate in work.gates:
        gate.set()
    assert begin(work.run()) is None
    assert work.ended == "done"


async def test_what_is_raised_at_once_is_raised_here():
    async def failing() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        begin(failing())


async def test_a_task_goes_on_where_it_waits():
    work = Work(3)
    work.gates[0].set()
    rest = begin(work.run())
    assert rest is not None
    assert work.passed == 1
    task = asyncio.create_task(whole(rest))
    for number, gate in enumerate(work.gates[1:], start=2):
        await asyncio.sleep(0.01)
        assert not task.done()
        gate.set()
        await asyncio.sleep(0.01)
        assert work.passed == number
    await task
    assert work.ended == "done"


async def test_it_does_not_matter_that_the_wait_ended_before_the_task_began():
    work = Work(1)
    rest = begin(work.run())
    assert rest is not None
    work.gates[0].set()
    await asyncio.sleep(0)
    await rest
    assert work.ended == "done"


async def test_what_is_raised_later_is_raised_where_it_is_awaited():
    async def failing() -> None:
        await asyncio.sleep(0)
        raise LookupError

    rest = begin(failing())
    assert rest is not None
    with pytest.raises(LookupError):
        await rest


async def test_a_cancellation_reaches_the_work():
    work = Work(2)
    rest = begin(work.run())
    assert rest is not None
    task = asyncio.create_task(whole(rest))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.ended == "cancelled"


async def test_what_is_given_up_is_closed():
    work = Work(1)
    rest = begin(work.run())
    assert rest is not None
    rest.close()
    assert work.ended == "closed"
