"""One start, stop or replacement under way: a task of its own, watched by whoever asked for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Literal

from services.foundation.errors import ChatchatError, EngineFailed
from services.supervisor.crew import Member
from services.wire.control import Progress

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.5
Kind = Literal["start", "stop", "restart", "replace"]
State = Literal["waiting", "starting", "draining", "stopping", "done"]


class Operation:
    """Goes on when nobody watches any more.

    Args:
        kind: what is done.
        model: to what.
        keys: names of the workers it concerns.
        work: does it, and tells the operation each step.
    """

    def __init__(
        self, kind: Kind, model: str, keys: Collection[str], work: Callable[[Operation], Awaitable[None]]
    ) -> None:
        self.kind = kind
        self.keys = keys
        self._model = model
        self._began = time.monotonic()
        self._members: Sequence[Member] = ()
        self._moved = asyncio.Event()
        self._steps: list[Progress] = []
        self.enter("waiting", model)
        self._task = asyncio.ensure_future(work(self))
        self._task.add_done_callback(self._settle)

    @property
    def latest(self) -> Progress:
        """How far it is."""
        return self._at(self._steps[-1])

    def enter(self, state: State, model: str, members: Sequence[Member] = ()) -> None:
        """A step begins; `members` are the processes it waits for."""
        self._members = members
        self._steps.append(self._at(Progress(model=model, state=state, seconds=0)))
        self._moved.set()

    def then(self, call: Callable[[Operation], None]) -> None:
        """Call this when it is over."""
        self._task.add_done_callback(lambda _: call(self))

    async def abandon(self) -> None:
        """Give it up; what it had started is stopped when this returns."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def progress(self) -> AsyncIterator[Progress]:
        """Every step from its beginning, and between them about twice a second how long it has taken.

        Raises:
            ChatchatError: it has failed.
        """
        told = 0
        while True:
            self._moved.clear()
            for step in self._steps[told:]:
                told += 1
                yield step
            if self._task.done():
                break
            try:
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._moved.wait()
            except TimeoutError:
                yield self.latest
        if self._task.cancelled():
            raise EngineFailed(model=self._model, reason="another request, or the end of the stack, has stopped it")
        self._task.result()
        yield self._at(Progress(model=self._model, state="done", seconds=0))

    def _at(self, step: Progress) -> Progress:
        lines = [member.keeper.last_line for member in self._members if not member.keeper.serves]
        seconds = round(time.monotonic() - self._began, 2)
        return step.model_copy(update={"seconds": seconds, "line": next(filter(None, lines), "")})

    def _settle(self, task: asyncio.Future[None]) -> None:
        self._moved.set()
        seconds = time.monotonic() - self._began
        if task.cancelled():
            log.info("%s of %s was given up after %.1f s", self.kind, self._model, seconds)
        elif isinstance(task.exception(), ChatchatError):
            log.warning("%s of %s failed after %.1f s: %s", self.kind, self._model, seconds, task.exception())
        elif task.exception() is not None:
            log.error("%s of %s failed", self.kind, self._model, exc_info=task.exception())
        else:
            log.info("%s of %s took %.1f s", self.kind, self._model, seconds)
