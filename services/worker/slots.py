"""The one concurrency limiter: a model runs so many requests at a time, so many more may wait, the rest are refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from services.foundation.errors import WorkerBusy
from services.foundation.sse import closing
from services.worker.engines.base import Vitals

WAITING_LIMIT = 64
T = TypeVar("T")


class Slots:
    """The slots of one model, and when it last got on with what occupies them.

    Args:
        model: its name, for the refusal.
        running: requests run at a time.
        waiting: requests that may queue for a slot.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        model: str,
        *,
        running: int,
        waiting: int = WAITING_LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._free = asyncio.Semaphore(running)
        self._waiting_limit = waiting
        self._waiting = 0
        self._running = 0
        self._clock = clock
        self._progressed = clock()

    @property
    def queue_length(self) -> int:
        """Requests running and waiting."""
        return self._running + self._waiting

    @property
    def vitals(self) -> Vitals:
        """How busy the model is."""
        silent = self._clock() - self._progressed if self._running else 0.0
        return Vitals(self._running, self._waiting, silent)

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Occupy a slot while the block runs; first come, first served.

        Raises:
            WorkerBusy: no slot is free and the queue is full.
        """
        await self._take()
        self._running += 1
        self._progressed = self._clock()
        try:
            yield
        finally:
            self._running -= 1
            self._progressed = self._clock()
            self._free.release()

    async def watch(self, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The same items; each is a sign of progress."""
        async with closing(items):
            async for item in items:
                self._progressed = self._clock()
                yield item

    async def _take(self) -> None:
        if self._free.locked() and self._waiting >= self._waiting_limit:
            raise WorkerBusy(model=self._model, waiting=self._waiting)
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
