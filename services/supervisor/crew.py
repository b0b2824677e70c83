"""The processes that run now, each with its keeper. `supervisor.py` fills it; `control/` changes it at run time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from services.clients.transport import async_client
from services.foundation.settings.tree import Logging
from services.supervisor.keeper import Keeper, Policy, State, Status
from services.supervisor.plan import ProcessSpec
from services.supervisor.process import Guard, Process, open_log


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One process that is kept running.

    Attributes:
        keeper: keeps it.
        keeping: ends only by being cancelled, or with `CannotStart`.
    """

    keeper: Keeper
    keeping: asyncio.Task[None]


class Crew:
    """Starts processes and ends them.

    Args:
        policy: waits and limits of their keepers.
        kept: where their logs are kept.
        note: is told every change of a process's state.
    """

    def __init__(self, policy: Policy, kept: Logging, note: Callable[[Status], None]) -> None:
        self.policy = policy
        self._kept = kept
        self._note = note
        self._guard = Guard()
        self._client: httpx.AsyncClient | None = None
        self._members: list[Member] = []
        self._leaving: list[Member] = []
        self._endings: set[asyncio.Task[None]] = set()

    @property
    def members(self) -> Sequence[Member]:
        """Every process, in the order of starting."""
        return tuple(self._members)

    def serving(self, model: str) -> list[Member]:
        """The processes that serve a model, or shall."""
        return [member for member in self._members if model in member.keeper.spec.models]

    async def open(self) -> None:
        """To be awaited before anything is started."""
        await self._guard.start()
        self._client = async_client("", timeout_seconds=self.policy.probe_timeout_seconds)

    def start(self, spec: ProcessSpec, *, attempts: int | None = None) -> Member:
        """Start a process and keep it running; `attempts` as `Keeper` has it."""
        if self._client is None:
            raise RuntimeError("the crew is not open")
        process = Process(spec, open_log(spec.name, self._kept), self._guard)
        keeper = Keeper(process, self.policy, self._note, attempts=attempts)
        member = Member(keeper, asyncio.create_task(keeper.keep(self._client)))
        self._members.append(member)
        return member

    async def end(self, members: Sequence[Member]) -> None:
        """End processes for good, also when cancelled. They leave the crew at once."""
        leaving = [member for member in members if member in self._members]
        self._members = [member for member in self._members if member not in leaving]
        self._leaving.extend(leaving)
        ending = asyncio.create_task(self._end(leaving))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        await asyncio.shield(ending)
        for member in leaving:
            if member.keeper.status.state is not State.FAILED:
                self._note(Status(member.keeper.spec, State.STOPPED))

    def kill(self) -> None:
        """End every process at once; `close` is still to be awaited."""
        for member in (*self._members, *self._leaving):
            member.keeper.kill()

    async def close(self) -> None:
        """End every process, and what watches over them."""
        await asyncio.gather(self._end(self._members), *self._endings)
        if self._client is not None:
            await self._client.aclose()
        await self._guard.stop()

    async def _end(self, members: Sequence[Member]) -> None:
        for member in members:
            member.keeping.cancel()
        await asyncio.gather(*(member.keeping for member in members), return_exceptions=True)
        await asyncio.gather(*(member.keeper.stop() for member in members))
        self._leaving = [member for member in self._leaving if member not in members]
