"""Directory: which worker serves a model, asked of the controller and remembered for two seconds at most."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from services.foundation.errors import NoWorker, ProviderFailed, UnknownModel
from services.foundation.settings.tree import ServedModel
from services.wire.control import LeaseList, WorkerAddress
from services.wire.openai import ModelCard

log = logging.getLogger(__name__)
ROUTE_SECONDS = 2.0


class Controller(Protocol):
    """What the directory asks of a controller; `clients.control.ControllerClient` in the service."""

    async def address(self, model: str) -> WorkerAddress: ...

    async def models(self) -> list[str]: ...

    async def leases(self) -> LeaseList: ...


@dataclass(frozen=True, slots=True)
class Route:
    """Where a model is served, and whether the worker speaks "openai" or "fastchat"."""

    address: str
    dialect: str


class Directory:
    """Finds workers.

    Args:
        controller: ours, or a stock FastChat one.
        served: the models of this installation's settings: known even while nothing serves them.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        controller: Controller,
        served: Mapping[str, ServedModel],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._controller = controller
        self._served = served
        self._clock = clock
        self._remembered: dict[str, tuple[float, Route]] = {}

    async def route(self, model: str) -> Route:
        """The worker to send a request to.

        Only a model's sole worker is remembered: between several, the controller chooses for each request.

        Raises:
            UnknownModel: neither served nor configured.
            NoWorker: configured, but nothing serves it now.
            ServiceUnreachable, TookTooLong: the controller does not answer.
        """
        until, route = self._remembered.get(model, (0.0, None))
        if route is not None and self._clock() < until:
            return route
        found = await self._controller.address(model)
        if not found.address:
            self.forget(model)
            raise await self._absent(model)
        route = Route(found.address.rstrip("/"), found.dialect)
        if _is_sole(found):
            self._remembered[model] = (self._clock() + ROUTE_SECONDS, route)
        return route

    def forget(self, model: str) -> None:
        """Ask again next time: the remembered worker did not answer."""
        self._remembered.pop(model, None)

    async def cards(self) -> list[ModelCard]:
        """The models with a live worker, by name."""
        tasks = await self._live_tasks()
        return [self._card(model, tasks[model]) for model in sorted(tasks)]

    async def card(self, model: str) -> ModelCard:
        """One live model.

        Raises:
            UnknownModel, NoWorker: as `route`.
        """
        tasks = await self._live_tasks()
        if model not in tasks:
            raise self._failure(model, tasks)
        return self._card(model, tasks[model])

    async def _live_tasks(self) -> Mapping[str, str | None]:
        try:
            leases = (await self._controller.leases()).leases
        except ProviderFailed:  # an answer that is not ours: a stock FastChat controller has no /leases
            return dict.fromkeys(await self._controller.models())
        return {name: lease.status.tasks.get(name) for lease in leases for name in lease.status.model_names}

    def _card(self, model: str, task: str | None) -> ModelCard:
        configured = self._served.get(model)
        return ModelCard(id=model, task=task or (configured.task if configured else None))

    async def _absent(self, model: str) -> UnknownModel | NoWorker:
        live = [] if model in self._served else await self._controller.models()
        return self._failure(model, live)

    def _failure(self, model: str, live: Mapping[str, str | None] | list[str]) -> UnknownModel | NoWorker:
        if model in self._served:
            return NoWorker(model=model)
        known = sorted({*live, *self._served})
        return UnknownModel(model=model, known=", ".join(known) or "none")


def _is_sole(found: WorkerAddress) -> bool:
    """Whether our controller had nothing to choose from (`replicas`; a stock controller does not say)."""
    return found.replicas == 1
