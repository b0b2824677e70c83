"""Admission: so many requests inside vLLM, so many more in the queue, and how they get on. Used by the middleware."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from starlette.types import Receive

from services.foundation.errors import WorkerBusy


class Pulse:
    """When anything was last written; whoever writes sets `at`.

    Attributes:
        at: monotonic seconds.
        clock: gives them.
    """

    __slots__ = ("at", "clock")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.at = clock()


class Admission:
    """The places inside vLLM. First come, first served.

    Args:
        model: its name, for the refusal.
        concurrency: requests inside at a time.
        waiting_limit: requests that may wait for a place.
        pulse: of the requests inside.
    """

    def __init__(self, model: str, *, concurrency: int, waiting_limit: int, pulse: Pulse) -> None:
        self._model = model
        self._concurrency = concurrency
        self._waiting_limit = waiting_limit
        self._running = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._pulse = pulse

    @property
    def running(self) -> int:
        """Requests inside vLLM."""
        return self._running

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def silent_seconds(self) -> float:
        """Since the last sign of progress; 0 while nothing runs."""
        return self._pulse.clock() - self._pulse.at if self._running else 0.0

    async def enter(self, receive: Receive) -> bool:
        """Take a place, waiting for it if need be; False when the client left meanwhile.

        Args:
            receive: of the request, whose body has been read.

        Raises:
            WorkerBusy: no place is free and the queue is full.
        """
        if self._running < self._concurrency:
            if not self._running:
                self._pulse.at = self._pulse.clock()
            self._running += 1
            return True
        if len(self._queue) >= self._waiting_limit:
            raise WorkerBusy(model=self._model, waiting=len(self._queue))
        return await self._wait(receive)

    def leave(self) -> None:
        """Give the place to the next in the queue, or back."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1

    async def _wait(self, receive: Receive) -> bool:
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        leaving = asyncio.ensure_future(departure(receive))
        came = False
        try:
            await asyncio.wait({turn, leaving}, return_when=asyncio.FIRST_COMPLETED)
            came = turn.done() and not leaving.done()
        finally:
            leaving.cancel()
            if not came:
                self._give_up(turn)
        await asyncio.gather(leaving, return_exceptions=True)
        return came

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if turn.done():
            self.leave()
        else:
            self._queue.remove(turn)


async def departure(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
