"""What an operation is made of: start a model until its lease is there; stop it without cutting off its requests."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace

import httpx

from services.clients.control import ControllerClient
from services.clients.transport import async_client, decode
from services.foundation.errors import ChatchatError, EngineFailed, ProviderFailed, ServiceUnreachable
from services.supervisor.control.operation import Operation
from services.supervisor.crew import Crew, Member
from services.supervisor.keeper import CannotStart
from services.supervisor.plan import ProcessSpec, supervised
from services.wire.control import Lease, WorkerStatus

log = logging.getLogger(__name__)
_LINES = 4
_LINES_CHARS = 800
_STATUS_SECONDS = 2.0


class Steps:
    """Starts and stops the processes of one model.

    Args:
        crew: the processes that run.
        controller: where their leases are.
        control_url: what the leases of this supervisor's workers call it.
    """

    def __init__(self, crew: Crew, controller: ControllerClient, control_url: str) -> None:
        self._crew = crew
        self._controller = controller
        self._control_url = control_url
        self._workers = async_client("", timeout_seconds=_STATUS_SECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._workers.aclose()

    async def start(self, operation: Operation, model: str, specs: Sequence[ProcessSpec]) -> None:
        """Start all processes of a model; returns when each has its lease.

        Raises:
            EngineFailed: one of them cannot; all are stopped again.
        """
        members = [self._crew.start(self._own(spec), attempts=1) for spec in specs]
        operation.enter("starting", model, members)
        try:
            await self._until_leased(model, members)
        except BaseException:  # also when it is given up
            await self._crew.end(members)
            raise
        for member in members:
            member.keeping.add_done_callback(_look_at)

    async def stop(self, operation: Operation, model: str) -> None:
        """Withdraw a model, let its requests end for a while, and stop its processes."""
        members = self._crew.serving(model)
        operation.enter("draining", model, members)
        if any(member.keeper.serves for member in members):
            await self._withdraw(model)
            await self._until_idle(members)
        operation.enter("stopping", model, members)
        await self._crew.end(members)

    def _own(self, spec: ProcessSpec) -> ProcessSpec:
        """The stack does without what is started at run time: it never ends because of it."""
        return supervised(replace(spec, required=False), self._control_url)

    async def _until_leased(self, model: str, members: Sequence[Member]) -> None:
        policy, keeping = self._crew.policy, {member.keeping for member in members}
        ready_since: float | None = None
        while True:
            for task in keeping:
                if task.done():
                    raise _failure(model, task)
            if not all(member.keeper.serves for member in members):
                ready_since = None
            else:
                ready_since = ready_since or time.monotonic()
                problem = await self._missing(model, len(members))
                if not problem:
                    return
                if time.monotonic() - ready_since > policy.lease_seconds:
                    raise EngineFailed(model=model, reason=f"it is ready, but {problem}")
            await asyncio.wait(keeping, timeout=policy.poll_seconds, return_when=asyncio.FIRST_COMPLETED)

    async def _missing(self, model: str, wanted: int) -> str:
        """Why not every process of the model can be routed to; empty when each can."""
        try:
            found = len(await self._leases(model))
        except ProviderFailed:  # FastChat's own controller shows no leases
            return "" if await self._is_listed(model) else "the controller does not list it"
        except ChatchatError as failure:
            return str(failure)
        return "" if found >= wanted else f"the controller has {found} leases of {wanted}"

    async def _is_listed(self, model: str) -> bool:
        try:
            return model in await self._controller.models()
        except ChatchatError:
            return False

    async def _leases(self, model: str) -> list[Lease]:
        """Those of this supervisor's workers."""
        leases = (await self._controller.leases()).leases
        own = [lease for lease in leases if lease.status.supervisor == self._control_url]
        return [lease for lease in own if model in lease.status.model_names]

    async def _withdraw(self, model: str) -> None:
        try:
            for lease in await self._leases(model):
                await self._controller.drain(lease.worker)
        except ChatchatError as failure:
            log.warning("%s is stopped without being withdrawn first: %s", model, failure)

    async def _until_idle(self, members: Sequence[Member]) -> None:
        policy = self._crew.policy
        idle_since = time.monotonic()
        limit = idle_since + policy.drain_seconds
        while time.monotonic() < limit:
            busy = await asyncio.gather(*(self._is_busy(member) for member in members))
            if any(busy):
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since >= policy.idle_seconds:
                return
            await asyncio.sleep(policy.poll_seconds)
        names = ", ".join(member.keeper.spec.name for member in members)
        log.warning("requests are still running after %g s; %s is stopped all the same", policy.drain_seconds, names)

    async def _is_busy(self, member: Member) -> bool:
        """Whether the worker says that requests are running; one that does not answer has none worth a wait."""
        address = member.keeper.spec.health_url.removesuffix("/healthz")
        try:
            answer = await self._workers.post(f"{address}/worker_get_status")
            return decode(WorkerStatus, answer.content, "worker").queue_length > 0
        except (httpx.HTTPError, ProviderFailed):
            return False


def _failure(model: str, ended: asyncio.Task[None]) -> ChatchatError:
    """What the end of a keeper means for whoever waits for its process."""
    if ended.cancelled():
        return EngineFailed(model=model, reason="it was stopped while it started")
    failure = ended.exception()
    if not isinstance(failure, CannotStart):
        return ServiceUnreachable(service="worker", url=model, reason=f"it is not kept any more: {failure}")
    reason = failure.reason.render("en")
    lines = " | ".join(failure.tail[-_LINES:])[-_LINES_CHARS:]
    return EngineFailed(model=model, reason=f"{reason}; its last lines: {lines}" if lines else reason)


def _look_at(ended: asyncio.Task[None]) -> None:
    if not ended.cancelled() and ended.exception() is not None:
        log.error("a process started at run time is not kept any more", exc_info=ended.exception())
