from __future__ import annotations

import asyncio

import pytest

from services.foundation.errors import WorkerBusy
from services.worker.slots import Slots


async def occupy(slots: Slots, until: asyncio.Event, log: list[str], name: str) -> None:
    async with slots.hold():
        log.append(name)
        await until.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_run_than_there_are_slots_and_the_first_come_are_first_served():
    slots, done = Slots("m", running=2), asyncio.Event()
    log: list[str] = []
    tasks = [asyncio.create_task(occupy(slots, done, log, name)) for name in "abcd"]
    await settle()

    assert log == ["a", "b"]
    assert slots.queue_length == 4

    done.set()
    await asyncio.gather(*tasks)
    assert log == ["a", "b", "c", "d"]
    assert slots.queue_length == 0


async def test_a_full_queue_refuses():
    slots, done = Slots("m", running=1, waiting=2), asyncio.Event()
    log: list[str] = []
    tasks = [asyncio.create_task(occupy(slots, done, log, name)) for name in "abc"]
    await settle()

    with pytest.raises(WorkerBusy, match="2 requests"):
        async with slots.hold():
            pytest.fail("admitted")

    assert slots.queue_length == 3
    done.set()
    await asyncio.gather(*tasks)
    async with slots.hold():
        assert slots.queue_length == 1


async def test_one_who_stops_waiting_leaves_the_queue():
    slots, done = Slots("m", running=1, waiting=1), asyncio.Event()
    log: list[str] = []
    running = asyncio.create_task(occupy(slots, done, log, "a"))
    waiting = asyncio.create_task(occupy(slots, done, log, "b"))
    await settle()
    waiting.cancel()
    await settle()

    assert slots.queue_length == 1
    done.set()
    await running
    assert slots.queue_length == 0


async def test_a_failure_inside_releases_the_slot():
    slots = Slots("m", running=1)

    with pytest.raises(RuntimeError):
        async with slots.hold():
            raise RuntimeError

    assert slots.queue_length == 0
    async with slots.hold():
        pass
