"""Keeps reality equal to the plan: everything starts at once, and everything ends together. Run by `startup.py`."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from services.foundation.settings.tree import Logging
from services.supervisor.control.server import ControlServer
from services.supervisor.control.switchboard import Control
from services.supervisor.crew import Crew
from services.supervisor.keeper import Policy, Status
from services.supervisor.plan import ProcessSpec, supervised

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
    """Runs a plan until it is told to stop.

    Args:
        plan: what is started at once.
        policy: waits and limits.
        kept: where the logs of the processes are kept.
        observer: is told what happens.
        control: lets others start and stop models at run time; None: nobody may.
    """

    def __init__(
        self,
        plan: Sequence[ProcessSpec],
        policy: Policy,
        kept: Logging,
        observer: Observer,
        control: Control | None = None,
    ) -> None:
        self._plan = plan
        self._observer = observer
        self._crew = Crew(policy, kept, self._note)
        self._control = control
        self._asked_to_stop = asyncio.Event()
        self._is_complete = False

    async def run(self) -> None:
        """Start everything and keep it running until SIGINT or SIGTERM; a second signal kills instead of asking.

        Nothing is left running when it returns or raises.

        Raises:
            CannotStart: a required process has never become ready.
        """
        with self._signals():
            server = None if self._control is None else ControlServer(self._control, self._crew)
            try:
                await self._crew.open()
                url = None if server is None else server.open()
                started = [self._crew.start(supervised(spec, url) if url else spec) for spec in self._plan]
                await self._until_asked_to_stop([member.keeping for member in started])
                self._observer.stopping()
            finally:
                if server is not None:
                    await server.close()
                await self._crew.close()

    def stop(self) -> None:
        """End everything; asked a second time, at once. What the signals call."""
        if self._asked_to_stop.is_set():
            self._crew.kill()
        self._asked_to_stop.set()

    async def _until_asked_to_stop(self, keeping: Sequence[asyncio.Task[None]]) -> None:
        """Returns early, raising, when one of the tasks fails; one that is cancelled was stopped on request."""
        asked: asyncio.Task[object] = asyncio.create_task(self._asked_to_stop.wait())
        pending: set[asyncio.Task[object]] = {asked, *keeping}
        try:
            while asked in pending:
                ended, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    if not task.cancelled():
                        task.result()
        finally:
            asked.cancel()

    def _note(self, status: Status) -> None:
        reason = "" if status.reason is None else f": {status.reason.render('en')}"
        log.log(logging.WARNING if reason else logging.INFO, "%s is %s%s", status.spec.name, status.state, reason)
        self._observer.changed(status)
        required = [member.keeper for member in self._crew.members if member.keeper.spec.required]
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
