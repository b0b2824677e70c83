"""Keeps reality equal to the plan: everything starts at once, and everything ends together. Run by `startup.py`."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from services.clients.transport import async_client
from services.foundation.settings.tree import Logging
from services.supervisor.keeper import Keeper, Policy, Status
from services.supervisor.plan import ProcessSpec
from services.supervisor.process import Guard, Process, open_log

log = logging.getLogger(__name__)


class Observer(Protocol):
    """Is told what happens, and shows it."""

    def changed(self, status: Status) -> None:
        """A process came into another state."""
        ...

    def complete(self) -> None:
        """Every required process has become ready for the first time."""
        ...

    def stopping(self) -> None:
        """A stop was asked for."""
        ...


class Supervisor:
    """Runs a plan until it is told to stop."""

    def __init__(self, plan: Sequence[ProcessSpec], policy: Policy, kept: Logging, observer: Observer) -> None:
        self._policy = policy
        self._observer = observer
        self._guard = Guard()
        self._keepers = [
            Keeper(Process(spec, open_log(spec.name, kept), self._guard), policy, self._note) for spec in plan
        ]
        self._asked_to_stop = asyncio.Event()
        self._is_complete = False

    async def run(self) -> None:
        """Start everything and keep it running until SIGINT or SIGTERM; a second signal kills instead of asking.

        Nothing is left running when it returns or raises.

        Raises:
            CannotStart: a required process has never become ready.
        """
        with self._signals():
            try:
                await self._guard.start()
                await self._keep_until_asked_to_stop()
                self._observer.stopping()
            finally:
                await asyncio.gather(*(keeper.stop() for keeper in self._keepers))
                await self._guard.stop()

    def stop(self) -> None:
        """End everything; asked a second time, at once. What the signals call."""
        if self._asked_to_stop.is_set():
            for keeper in self._keepers:
                keeper.kill()
        self._asked_to_stop.set()

    async def _keep_until_asked_to_stop(self) -> None:
        async with async_client("", timeout_seconds=self._policy.probe_timeout_seconds) as client:
            tasks = [asyncio.create_task(keeper.keep(client)) for keeper in self._keepers]
            tasks.append(asyncio.create_task(self._stop_asked_for()))
            try:
                ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _stop_asked_for(self) -> None:
        await self._asked_to_stop.wait()

    def _note(self, status: Status) -> None:
        reason = "" if status.reason is None else f": {status.reason.render('en')}"
        log.log(logging.WARNING if reason else logging.INFO, "%s is %s%s", status.spec.name, status.state, reason)
        self._observer.changed(status)
        required = [keeper for keeper in self._keepers if keeper.status.spec.required]
        if not self._is_complete and all(keeper.has_served for keeper in required):
            self._is_complete = True
            self._observer.complete()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        caught = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asks to survive the terminal
            caught.append(signal.SIGHUP)
        for number in caught:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in caught:
                loop.remove_signal_handler(number)
