"""A client that leaves cancels the work done for it."""

from __future__ import annotations

import asyncio

import pytest

from services.foundation.errors import NoWorker
from services.gateway.watching import until_gone


class Client:
    """An ASGI client that leaves when told to, and work that waits for ever."""

    def __init__(self, *, leaves_at_once: bool) -> None:
        self.leaves = asyncio.Event()
        self.leaves_at_once = leaves_at_once
        self.cancelled = False

    async def receive(self):
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def work(self) -> None:
        if self.leaves_at_once:
            self.leaves.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def test_a_client_that_leaves_cancels_the_work():
    client = Client(leaves_at_once=True)
    await until_gone(client.receive, client.work())
    assert client.cancelled


async def test_a_cancelled_server_task_cancels_the_work_and_says_so():
    client = Client(leaves_at_once=False)
    task = asyncio.create_task(until_gone(client.receive, client.work()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.cancelled


async def test_what_the_work_raises_is_raised():
    async def failing() -> None:
        raise NoWorker(model="m")

    with pytest.raises(NoWorker):
        await until_gone(Client(leaves_at_once=False).receive, failing())


async def test_a_client_that_leaves_while_the_server_stops_does_not_hide_that():
    client = Client(leaves_at_once=True)
    task = asyncio.create_task(until_gone(client.receive, client.work()))
    while not client.cancelled:
        await asyncio.sleep(0)
        if client.leaves.is_set():
            task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_client_that_left_leaves_no_cancellation_behind():
    async def goes_on() -> None:
        await until_gone(client.receive, client.work())
        await asyncio.sleep(0.01)

    client = Client(leaves_at_once=True)
    task = asyncio.create_task(goes_on())
    await task
    assert task.cancelling() == 0
