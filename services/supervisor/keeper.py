"""Keeps one process running: start, await readiness, watch, restart with back-off. `supervisor.py` has one a spec."""

from __future__ import annotations

import asyncio
import enum
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx
from pydantic import BaseModel, ValidationError

from services.foundation.settings.tree import Server
from services.supervisor.messages import Sentence, sentence
from services.supervisor.plan import ProcessSpec
from services.supervisor.process import Process

_BAD_CONFIGURATION = 2  # our services leave with this code when a second attempt cannot help


class State(enum.StrEnum):
    """Where a process stands. DEGRADED: it serves less than it should, or is optional and does not serve.

    STARTING is also one that has served, and whose engine is started again while the process stays.
    """

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Status:
    """What is known about one process at one moment."""

    spec: ProcessSpec
    state: State = State.STARTING
    reason: Sentence | None = None
    since: float = field(default_factory=time.monotonic, compare=False)


class CannotStart(Exception):
    """A process that must become ready cannot; `tail` holds the last lines it wrote."""

    def __init__(self, spec: ProcessSpec, reason: Sentence, tail: Sequence[str]) -> None:
        self.spec = spec
        self.reason = reason
        self.tail = list(tail)
        super().__init__(f"{spec.name} cannot be started: {reason.render('en')}")


@dataclass(frozen=True, slots=True)
class Policy:
    """Waits and limits of the supervision.

    Attributes:
        start_timeout_seconds: longest wait for a process to become ready.
        stop_grace_seconds: wait between SIGTERM and SIGKILL.
        poll_seconds: interval of health checks until ready.
        watch_seconds: interval of health checks afterwards.
        probe_timeout_seconds: longest wait for one health answer.
        unresponsive_seconds: a process that was ready and answers no health check for this long is replaced.
        first_backoff_seconds: wait before the second restart; doubled each time. The first is at once.
        longest_backoff_seconds: limit of that doubling.
        settled_seconds: after this long in health the back-off begins anew.
        first_attempts: a required process that ends this often before it was ever ready is given up.
        drain_seconds: a worker that is stopped at run time may go on with its requests for this long.
        idle_seconds: it counts as drained when nothing has run for this long: a gateway may still send it what it
            chose it for before it heard of the end.
        lease_seconds: a worker that is started at run time must have its lease this long after it is ready.
    """

    start_timeout_seconds: float = 120.0
    stop_grace_seconds: float = 5.0
    poll_seconds: float = 0.2
    watch_seconds: float = 1.0
    probe_timeout_seconds: float = 5.0
    unresponsive_seconds: float = 30.0
    first_backoff_seconds: float = 0.5
    longest_backoff_seconds: float = 30.0
    settled_seconds: float = 10.0
    first_attempts: int = 3
    drain_seconds: float = 30.0
    idle_seconds: float = 1.5
    lease_seconds: float = 30.0

    @classmethod
    def of(cls, server: Server) -> Policy:
        """The configured waits; the rest as above."""
        return cls(start_timeout_seconds=server.start_timeout_seconds, stop_grace_seconds=server.stop_grace_seconds)


@dataclass(frozen=True, slots=True)
class _End:
    """Why a run of a process is over; hopeless when the next one would end the same way."""

    reason: Sentence
    is_hopeless: bool = False


class _Health(BaseModel):
    """The body of our /healthz; other programs answer with other bodies."""

    status: str = "ok"
    detail: dict[str, str] = {}

    @property
    def is_starting(self) -> bool:
        return self.status == "starting"

    @property
    def sentence(self) -> Sentence:
        return sentence(
            "reason.degraded", detail="; ".join(f"{name}: {text}" for name, text in sorted(self.detail.items()))
        )


class _Patience:
    """How long one run of a process is waited for. One that says "starting" is alive, also when it was ready before."""

    def __init__(self, policy: Policy, start_timeout_seconds: float) -> None:
        self._policy = policy
        self._start_timeout_seconds = start_timeout_seconds
        self._began = self._answered = time.monotonic()
        self._is_ready = self._was_ready = False

    @property
    def pause_seconds(self) -> float:
        """Wait before the next health check."""
        return self._policy.watch_seconds if self._is_ready else self._policy.poll_seconds

    def hear(self, health: _Health) -> None:
        """It has answered."""
        self._answered = time.monotonic()
        if self._is_ready and health.is_starting:
            self._began = self._answered
        self._is_ready = not health.is_starting
        self._was_ready = self._was_ready or self._is_ready

    @property
    def end(self) -> _End | None:
        """Why nothing good is to be expected any more; None: go on."""
        now, limit_seconds = time.monotonic(), self._policy.unresponsive_seconds
        if self._was_ready and now - self._answered > limit_seconds:
            return _End(sentence("reason.unresponsive", seconds=limit_seconds), is_hopeless=True)
        if not self._is_ready and now - self._began > self._start_timeout_seconds:
            return _End(sentence("reason.late", seconds=self._start_timeout_seconds), is_hopeless=True)
        return None


class Keeper:
    """Keeps one process running and tells every change of its state.

    Args:
        process: what is kept.
        policy: waits and limits.
        note: is told every change.
        attempts: ends before it was ever ready after which it is given up; None: the policy's number for a required
            process, and never for another.
    """

    def __init__(
        self, process: Process, policy: Policy, note: Callable[[Status], None], *, attempts: int | None = None
    ) -> None:
        self.status = Status(process.spec)
        self.has_served = False
        self.starts = 0
        self._process = process
        self._policy = policy
        self._note = note
        self._attempts = attempts or (policy.first_attempts if process.spec.required else None)
        self._failures = 0
        self._ready_since: float | None = None

    @property
    def spec(self) -> ProcessSpec:
        """What it runs."""
        return self._process.spec

    @property
    def pid(self) -> int | None:
        """Process id, while it runs."""
        return self._process.pid

    @property
    def last_line(self) -> str:
        """What the process wrote last."""
        tail = self._process.tail
        return tail[-1] if tail else ""

    @property
    def serves(self) -> bool:
        """It answers its health checks and is not starting."""
        return self._ready_since is not None and self.status.state in {State.READY, State.DEGRADED}

    async def keep(self, client: httpx.AsyncClient) -> None:
        """Start the process again whenever it ends; every end is a failure, exit code 0 too.

        Raises:
            CannotStart: it has never become ready, and is given up.
        """
        self._note(self.status)
        while True:
            end = await self._run(client)
            await self._process.stop(self._policy.stop_grace_seconds)
            self._count_failure()
            self._give_up_if_hopeless(end)
            self._become(State.RESTARTING if self.spec.required else State.DEGRADED, end.reason)
            await asyncio.sleep(self._backoff_seconds())

    async def stop(self) -> None:
        """End the process for good; `keep` must have been cancelled."""
        await self._process.stop(self._policy.stop_grace_seconds)
        self._process.close()

    def kill(self) -> None:
        """End the process at once; `stop` is still to be awaited."""
        self._process.signal(signal.SIGKILL)

    async def _run(self, client: httpx.AsyncClient) -> _End:
        self.starts += 1
        try:
            await self._process.start()
        except OSError as failure:
            return _End(sentence("reason.not_executable", failure=str(failure)), is_hopeless=True)
        exited = asyncio.create_task(self._process.wait())
        try:
            return await self._watch(client, exited)
        finally:
            exited.cancel()

    async def _watch(self, client: httpx.AsyncClient, exited: asyncio.Task[int]) -> _End:
        patience = _Patience(self._policy, self.spec.start_timeout_seconds or self._policy.start_timeout_seconds)
        while not exited.done():
            health = await self._probe(client)
            if health is not None:
                patience.hear(health)
                self._show(health)
            late = None if exited.done() else patience.end
            if late is not None:
                return late
            await asyncio.wait({exited}, timeout=patience.pause_seconds)
        return _end_of(exited.result())

    async def _probe(self, client: httpx.AsyncClient) -> _Health | None:
        """None: no answer, or one that is no sign of health."""
        try:
            answer = await client.get(self.spec.health_url)
        except httpx.HTTPError:
            return None
        try:
            health = _Health.model_validate_json(answer.content)
        except ValidationError:
            health = _Health()
        return health if answer.status_code == (503 if health.is_starting else 200) else None

    def _show(self, health: _Health) -> None:
        if health.is_starting:
            if self._ready_since is not None:
                self._become(State.STARTING, health.sentence)
            return
        self.has_served = True
        if self._ready_since is None:
            self._ready_since = time.monotonic()
        if health.status == "degraded":
            self._become(State.DEGRADED, health.sentence)
        else:
            self._become(State.READY)

    def _become(self, state: State, reason: Sentence | None = None) -> None:
        status = Status(self.spec, state, reason)
        if status != self.status:
            self.status = status
            self._note(status)

    def _count_failure(self) -> None:
        was_settled = (
            self._ready_since is not None and time.monotonic() - self._ready_since > self._policy.settled_seconds
        )
        self._ready_since = None
        self._failures = 1 if was_settled else self._failures + 1

    def _give_up_if_hopeless(self, end: _End) -> None:
        if self.has_served or self._attempts is None:
            return
        if end.is_hopeless or self._failures >= self._attempts:
            self._become(State.FAILED, end.reason)
            raise CannotStart(self.spec, end.reason, self._process.tail)

    def _backoff_seconds(self) -> float:
        return backoff_seconds(self._policy, self._failures - (1 if self.has_served else 0))


def backoff_seconds(policy: Policy, failures: int) -> float:
    """Wait before the next start after so many failures in a row; a first one of what served before costs nothing."""
    if failures < 1:
        return 0.0
    doublings = min(failures - 1, 16)
    return min(policy.first_backoff_seconds * 2.0**doublings, policy.longest_backoff_seconds)


def _end_of(code: int) -> _End:
    if code >= 0:
        return _End(sentence("reason.exited", code=code), is_hopeless=code == _BAD_CONFIGURATION)
    name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
    return _End(sentence("reason.killed", signal=name))
