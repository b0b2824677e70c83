"""Who may be started, stopped and replaced now: one operation at a time for each worker. Called by the routes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from services.clients.control import ControllerClient
from services.foundation.errors import ChatchatError, InvalidRequest, ModelRunning, NoWorker
from services.foundation.settings.tree import ServedModel, Settings
from services.supervisor.control.operation import Kind, Operation
from services.supervisor.control.steps import Steps
from services.supervisor.crew import Crew, Member
from services.supervisor.flags import Flags
from services.supervisor.plan import ProcessSpec, loads_long, plan_model
from services.wire.control import ProcessList, ProcessReport, ReplaceModel

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Control:
    """What a supervisor that lets others start and stop models is given: what it was started with itself."""

    settings: Settings
    flags: Flags


class Switchboard:
    """Begins operations. A model is named as in `models.served`; its replicas are one thing here."""

    def __init__(self, control: Control, crew: Crew) -> None:
        server = control.settings.server
        self._control = control
        self._crew = crew
        controller_url = control.flags.controller_url or server.controller.url
        self._controller = ControllerClient(controller_url, token=server.worker_token)
        self._steps = Steps(crew, self._controller, server.supervisor.url)
        self._operations: dict[str, Operation] = {}

    async def close(self) -> None:
        """Give up what is under way."""
        await asyncio.gather(*(operation.abandon() for operation in set(self._operations.values())))
        await self._steps.close()
        await self._controller.close()

    def processes(self) -> ProcessList:
        """Every process of the supervisor."""
        return ProcessList(processes=[_report(member) for member in self._crew.members])

    def start(self, model: str) -> Operation:
        """Start a model.

        Raises:
            UnknownModel: it is not configured.
            ModelRunning: it is running, or being started.
            InvalidRequest: something else is under way with it, or its worker runs with other models.
        """
        specs = self._specs(model)
        self._refuse_while_busy(model, specs)
        self._refuse_running(model, specs)
        return self._begin("start", model, _names(specs), partial(self._steps.start, model=model, specs=specs))

    def stop(self, model: str) -> Operation:
        """Stop a model. What is under way with it is given up; a stop that is under way is not begun again.

        Raises:
            UnknownModel: it is not configured.
            NoWorker: it is not running.
            InvalidRequest: its worker serves other models, too.
        """
        names = _names(self._specs(model))
        current = self._operations.get(names[0])
        if current is not None and current.kind == "stop":
            return current
        if current is None and not self._crew.serving(model):
            raise NoWorker(model=model)
        self._refuse_shared(model)

        async def work(operation: Operation) -> None:
            if current is not None:
                await current.abandon()
            if self._crew.serving(model):
                await self._steps.stop(operation, model)

        return self._begin("stop", model, names, work)

    def restart(self, model: str) -> Operation:
        """Stop a model if it is running, and start it. Raises as `start` does, except that it may run."""
        specs = self._specs(model)
        self._refuse_while_busy(model, specs)
        self._refuse_shared(model)
        if not self._crew.serving(model):
            self._refuse_running(model, specs)

        async def work(operation: Operation) -> None:
            if self._crew.serving(model):
                await self._steps.stop(operation, model)
            await self._steps.start(operation, model, specs)

        return self._begin("restart", model, _names(specs), work)

    def replace(self, model: str, wanted: ReplaceModel) -> Operation:
        """Start another model and stop this one, or the other way round.

        When the old one had to go first and the new one does not start, the old one is started again.

        Raises:
            UnknownModel: one of them is not configured.
            NoWorker: the old one is not running.
            ModelRunning: the new one is running.
            InvalidRequest: as `start` and `stop`.
        """
        old, new = self._specs(model), self._specs(wanted.by)
        self._refuse_while_busy(model, old)
        self._refuse_while_busy(wanted.by, new)
        if not self._crew.serving(model):
            raise NoWorker(model=model)
        self._refuse_shared(model)
        self._refuse_running(wanted.by, new)
        first = wanted.first or ("stop" if self._exclude_each_other(model, wanted.by) else "start")

        async def work(operation: Operation) -> None:
            if first == "start":
                await self._steps.start(operation, wanted.by, new)
                await self._steps.stop(operation, model)
                return
            await self._steps.stop(operation, model)
            try:
                await self._steps.start(operation, wanted.by, new)
            except ChatchatError:
                await self._bring_back(operation, model, old)
                raise

        return self._begin("replace", model, (*_names(old), *_names(new)), work)

    async def _bring_back(self, operation: Operation, model: str, specs: Sequence[ProcessSpec]) -> None:
        log.warning("%s is started again, since what should replace it did not start", model)
        try:
            await self._steps.start(operation, model, specs)
        except ChatchatError as failure:  # the caller raises the failure that led here
            log.error("%s could not be brought back: %s", model, failure)  # noqa: TRY400 - the sentence says it all

    def _begin(
        self, kind: Kind, model: str, names: Collection[str], work: Callable[[Operation], Awaitable[None]]
    ) -> Operation:
        operation = Operation(kind, model, names, work)
        self._operations.update(dict.fromkeys(names, operation))
        operation.then(self._forget)
        return operation

    def _forget(self, operation: Operation) -> None:
        for name in operation.keys:
            if self._operations.get(name) is operation:
                del self._operations[name]

    def _specs(self, model: str) -> list[ProcessSpec]:
        return plan_model(self._control.settings, self._control.flags, model)

    def _refuse_while_busy(self, model: str, specs: Sequence[ProcessSpec]) -> None:
        current = self._operations.get(specs[0].name)
        if current is None:
            return
        if current.kind in {"start", "restart"}:
            raise ModelRunning(model=model)
        raise InvalidRequest(field="model", reason=f"a {current.kind} of {model!r} is under way; wait until it is over")

    def _refuse_running(self, model: str, specs: Sequence[ProcessSpec]) -> None:
        if self._crew.serving(model):
            raise ModelRunning(model=model)
        names = set(_names(specs))
        others = [member.keeper.spec for member in self._crew.members if member.keeper.spec.name in names]
        if others:
            running = ", ".join(others[0].models)
            reason = f"the worker of {model!r} runs already, with {running}; stop that first"
            raise InvalidRequest(field="model", reason=reason)

    def _refuse_shared(self, model: str) -> None:
        others = {name for member in self._crew.serving(model) for name in member.keeper.spec.models} - {model}
        if others:
            reason = f"{model!r} shares its worker with {', '.join(sorted(others))}, which would be stopped as well"
            raise InvalidRequest(field="model", reason=f"{reason}; give it a worker of its own (models.served)")

    def _exclude_each_other(self, old: str, new: str) -> bool:
        ports = {spec.port for spec in self._specs(old)} & {spec.port for spec in self._specs(new)}
        served = self._control.settings.models.served
        return bool(ports) or want_the_same_gpu(served[old], served[new])


def want_the_same_gpu(first: ServedModel, second: ServedModel) -> bool:
    """They name one in common; or both fill whatever GPU they take, and one of them does not say which."""
    if first.gpus is not None and second.gpus is not None:
        return not set(first.gpus.split(",")).isdisjoint(second.gpus.split(","))
    return loads_long(first) and loads_long(second)


def _names(specs: Sequence[ProcessSpec]) -> tuple[str, ...]:
    return tuple(spec.name for spec in specs)


def _report(member: Member) -> ProcessReport:
    keeper = member.keeper
    status, spec = keeper.status, keeper.spec
    return ProcessReport(
        name=spec.name,
        state=status.state.value,
        reason=None if status.reason is None else status.reason.render("en"),
        pid=keeper.pid,
        models=list(spec.models),
        port=spec.port,
        since=datetime.now(UTC) - timedelta(seconds=time.monotonic() - status.since),
        restarts=max(0, keeper.starts - 1),
    )
