"""What those who watch an operation are told."""

from __future__ import annotations

import asyncio

import pytest

from services.foundation.errors import EngineFailed
from services.supervisor.control.operation import Operation


def operation(work):
    return Operation("start", "m", ["worker-m"], work)


async def told(watched):
    return [(step.model, step.state) async for step in watched.progress()]


async def test_every_step_is_told_and_then_the_end():
    async def work(running):
        running.enter("draining", "old")
        running.enter("stopping", "old")
        await asyncio.sleep(0)
        running.enter("starting", "m")

    watched = operation(work)
    expected = [("m", "waiting"), ("old", "draining"), ("old", "stopping"), ("m", "starting"), ("m", "done")]
    assert list(await asyncio.gather(told(watched), told(watched))) == [expected, expected]
    assert await told(watched) == expected


async def test_a_failure_is_raised_to_whoever_watches():
    async def work(_):
        raise EngineFailed(model="m", reason="no weights")

    watched = operation(work)
    for _ in range(2):
        with pytest.raises(EngineFailed, match="no weights"):
            await told(watched)


async def test_one_that_is_given_up_cleans_up_first_and_says_so():
    cleaned = []

    async def work(_):
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    watched = operation(work)
    watching = asyncio.create_task(told(watched))
    await asyncio.sleep(0)
    await watched.abandon()
    assert cleaned == ["up"]
    with pytest.raises(EngineFailed, match="another request"):
        await watching


async def test_it_goes_on_without_anybody_watching_and_then_calls():
    over: list[Operation] = []
    release = asyncio.Event()

    async def work(_):
        await release.wait()

    watched = operation(work)
    watched.then(over.append)
    steps = watched.progress()
    await anext(steps)
    await steps.aclose()
    release.set()
    await asyncio.sleep(0.01)
    assert over == [watched]


async def test_time_passes_between_the_steps():
    async def work(_):
        await asyncio.sleep(0.7)

    seconds = [step.seconds async for step in operation(work).progress()]
    assert len(seconds) == 3  # waiting, a tick after half a second, done
    assert seconds == sorted(seconds)
    assert seconds[-1] >= 0.7
