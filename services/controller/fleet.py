"""Fleet: FastChat's Controller with leases that expire on read, an address list and no blocking I/O."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue

from services.controller.addresses import AllowedAddresses
from services.controller.stock import CONTROLLER_HEART_BEAT_EXPIRATION, Controller, DispatchMethod, ErrorCode
from services.foundation.errors import ChatchatError, InvalidRequest, NoSupervisor, NoWorker
from services.wire.control import HeartBeat, Lease, RegisterWorker, WorkerAddress, WorkerStatus

log = logging.getLogger(__name__)

UNWATCHED_SECONDS = 1e9
"""Shown as the rest of a lease without end: its worker asked for `check_heart_beat: false` (FastChat's wire)."""


class Workers(Protocol):
    """What the fleet asks of workers; `calls.WorkerCalls` in the service."""

    async def status(self, address: str) -> WorkerStatus: ...

    def stream(self, address: str, parameters: Mapping[str, JsonValue]) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class FleetRules:
    """How leases are given.

    Attributes:
        dispatch: "shortest_queue" or "lottery".
        lease_seconds: a worker of ours that was silent for this long is gone. A stock FastChat worker beats every 45
            seconds, so it is held to FastChat's own 90 instead.
        allowed: hosts workers may live on.
    """

    dispatch: str
    lease_seconds: float
    allowed: AllowedAddresses


@dataclass(slots=True)
class HeldLease:
    """One worker. Has the attributes of FastChat's WorkerInfo, because FastChat's methods read them.

    One that is drained keeps its lease, so that its heartbeats do not register it again, and serves nothing.
    """

    status: WorkerStatus
    check_heart_beat: bool
    multimodal: bool
    last_heart_beat: float
    queue_length: int
    is_drained: bool = False

    @property
    def model_names(self) -> list[str]:
        return [] if self.is_drained else self.status.model_names

    @property
    def speed(self) -> int:
        return self.status.speed


class Fleet(Controller):  # type: ignore[misc]  # fastchat is untyped
    """Who serves what. Lives on one event loop; nothing here blocks it.

    Kept from FastChat: the dispatch methods, their queue bookkeeping and the lists of models. Replaced: everything
    that does I/O with `requests`, and the thread that expires workers: they expire when they are looked at.
    """

    def __init__(self, rules: FleetRules, workers: Workers, *, clock: Callable[[], float] = time.monotonic) -> None:
        # FastChat's own __init__ is left out: it starts the thread.
        self.worker_info: dict[str, HeldLease] = {}
        self.dispatch_method = DispatchMethod.from_str(rules.dispatch)
        self._rules = rules
        self._workers = workers
        self._clock = clock

    async def register_worker(self, worker: RegisterWorker) -> None:
        """Give a lease; with an empty list of models: take it back.

        Raises:
            InvalidRequest, Forbidden: the address is malformed or not allowed; nothing was asked of it.
            ServiceUnreachable, TookTooLong: it sent no status and does not answer when asked for it.
        """
        address = self._rules.allowed.check(worker.worker_name)
        status = worker.worker_status or await self._workers.status(address)
        if not status.model_names:
            if self.worker_info.pop(address, None) is not None:
                log.info("worker %s gave its lease back", address)
            return
        if status.speed < 1:
            raise InvalidRequest(field="worker_status.speed", reason="it must be at least 1")
        if address not in self.worker_info:
            log.info("worker %s serves %s", address, ", ".join(status.model_names))
        self.worker_info[address] = HeldLease(
            status, worker.check_heart_beat, worker.multimodal, self._clock(), status.queue_length
        )

    def receive_heart_beat(self, beat: HeartBeat) -> bool:
        """Renew a lease; False when there is none (any more): the worker should register again."""
        self._expire()
        held = self.worker_info.get(beat.worker_name.rstrip("/"))
        if held is None:
            return False
        held.queue_length = beat.queue_length
        held.last_heart_beat = self._clock()
        return True

    def drain_worker(self, address: str) -> bool:
        """Route nothing to a worker any more, until it registers anew; False when it has no lease."""
        self._expire()
        held = self.worker_info.get(address.rstrip("/"))
        if held is None:
            return False
        held.is_drained = True
        log.info("worker %s is drained", address)
        return True

    def supervisors(self, model_name: str) -> list[str]:
        """The supervisors of all workers that serve a model, each once, checked as workers are.

        Raises:
            NoSupervisor: one of the workers names none.
            InvalidRequest, Forbidden: an address is malformed or not allowed; nothing is to be asked of it.
        """
        found: dict[str, None] = {}
        for lease in self.leases():
            if model_name not in lease.status.model_names:
                continue
            if lease.status.supervisor is None:
                raise NoSupervisor(model=model_name)
            found[self._rules.allowed.check_supervisor(lease.status.supervisor)] = None
        return list(found)

    async def refresh_all_workers(self) -> None:
        """Ask every worker for its status at once; the ones that do not answer lose their lease."""
        await asyncio.gather(*(self._refresh(address) for address in list(self.worker_info)))

    async def _refresh(self, address: str) -> None:
        try:
            status = await self._workers.status(address)
        except ChatchatError as failure:
            log.warning("worker %s loses its lease: %s", address, failure)
            self.worker_info.pop(address, None)
            return
        held = self.worker_info.get(address)
        if held is None:
            return
        held.status = held.status.model_copy(update=status.model_dump(exclude_unset=True))
        held.queue_length = status.queue_length
        held.last_heart_beat = self._clock()

    def list_models(self) -> list[str]:
        self._expire()
        return sorted(super().list_models())

    def list_multimodal_models(self) -> list[str]:
        self._expire()
        return sorted(super().list_multimodal_models())

    def list_language_models(self) -> list[str]:
        self._expire()
        return sorted(super().list_language_models())

    def get_worker_address(self, model_name: str) -> str:
        """FastChat's choice among the live workers, counted as one more in its queue; "" when there is none."""
        self._expire()
        chosen: str = super().get_worker_address(model_name)
        return chosen

    def route(self, model_name: str) -> WorkerAddress:
        """`get_worker_address` with our additions: the worker's dialect, and how many workers there were to choose."""
        address = self.get_worker_address(model_name)
        if not address:
            return WorkerAddress(address="")
        replicas = sum(model_name in held.model_names for held in self.worker_info.values())
        return WorkerAddress.model_validate(
            {"address": address, "dialect": self.worker_info[address].status.dialect, "replicas": replicas}
        )

    def leases(self) -> list[Lease]:
        """Every live lease of a worker that may be routed to."""
        self._expire()
        return [
            Lease(
                worker=address,
                status=held.status.model_copy(update={"queue_length": held.queue_length}),
                expires_in_seconds=self._remaining(held),
            )
            for address, held in self.worker_info.items()
            if not held.is_drained
        ]

    def worker_api_get_status(self) -> WorkerStatus:
        """The fleet as one worker (FastChat's hierarchy of controllers). Answered from the leases, asking nobody."""
        live: Iterable[Lease] = self.leases()
        return WorkerStatus(
            model_names=self.list_models(),
            speed=sum(lease.status.speed for lease in live),
            queue_length=sum(lease.status.queue_length for lease in live),
        )

    async def worker_api_generate_stream(self, parameters: Mapping[str, JsonValue]) -> AsyncIterator[bytes]:
        """Pass a FastChat stream through. A failure becomes one last message with its FastChat error code."""
        model = parameters.get("model")
        address = self.get_worker_address(model) if isinstance(model, str) else ""
        if not address:
            yield _message(NoWorker(model=str(model)), ErrorCode.CONTROLLER_NO_WORKER)
            return
        try:
            async for messages in self._workers.stream(address, parameters):
                yield messages
        except ChatchatError as failure:
            log.warning("stream from %s ended by: %s", address, failure)
            yield _message(failure, ErrorCode.CONTROLLER_WORKER_TIMEOUT)

    def get_worker_status(self, worker_name: str) -> Awaitable[WorkerStatus]:
        """Ask one worker."""
        return self._workers.status(worker_name)

    def remove_stale_workers_by_expiration(self) -> None:
        self._expire()

    def _expire(self) -> None:
        for address in [name for name, held in self.worker_info.items() if self._remaining(held) <= 0]:
            log.warning("the lease of worker %s has expired", address)
            self.remove_worker(address)

    def _remaining(self, held: HeldLease) -> float:
        if not held.check_heart_beat:
            return UNWATCHED_SECONDS
        ours = held.status.dialect == "openai"
        length = self._rules.lease_seconds if ours else max(self._rules.lease_seconds, CONTROLLER_HEART_BEAT_EXPIRATION)
        return float(held.last_heart_beat + length - self._clock())


def _message(failure: ChatchatError, code: int) -> bytes:
    return json.dumps({"text": str(failure), "error_code": int(code)}).encode() + b"\0"
