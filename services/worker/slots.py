"""The one concurrency limiter: a model runs so many requests at a time, so many more may wait, the rest are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.foundation.errors import WorkerBusy

WAITING_LIMIT = 64


class Slots:
    """The slots of one model.

    Args:
        model: its name, for the refusal.
        running: requests run at a time.
        waiting: requests that may queue for a slot.
    """

    def __init__(self, model: str, *, running: int, waiting: int = WAITING_LIMIT) -> None:
        self._model = model
        self._free = asyncio.Semaphore(running)
        self._waiting_limit = waiting
        self._waiting = 0
        self._running = 0

    @property
    def queue_length(self) -> int:
        """Requests running and waiting."""
        return self._running + self._waiting

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Occupy a slot while the block runs; first come, first served.

        Raises:
            WorkerBusy: no slot is free and the queue is full.
        """
        await self._take()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._free.release()

    async def _take(self) -> None:
        if self._free.locked() and self._waiting >= self._waiting_limit:
            raise WorkerBusy(model=self._model, waiting=self._waiting)
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
