"""Directory: which workers serve a model, from a table of the controller's leases that is renewed in the background."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from services.foundation.errors import ChatchatError, NoWorker, ProviderFailed, UnknownModel
from services.foundation.settings.tree import ServedModel
from services.gateway.replicas import Route
from services.wire.control import LeaseList, WorkerAddress

log = logging.getLogger(__name__)
REFRESH_SECONDS = 1.0
TABLE_SECONDS = 30.0


class Controller(Protocol):
    """What the directory asks of a controller; `control.Control` in the service."""

    async def address(self, model: str) -> WorkerAddress: ...

    async def models(self) -> list[str]: ...

    async def leases(self) -> LeaseList: ...


class Directory:
    """Finds workers.

    Args:
        controller: ours, or a stock FastChat one, which has no leases to show and is asked for each route.
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
        self._listeners: list[Callable[[set[str]], None]] = []
        self._clock = clock
        self._routes: dict[str, list[Route]] = {}
        self._tasks: dict[str, str | None] = {}
        self._known_until = 0.0
        self._refreshing: asyncio.Task[None] | None = None
        self._is_lost = False
        self._is_stock = False

    def tell(self, *listeners: Callable[[set[str]], None]) -> None:
        """Call each of `listeners` with the addresses of every new table."""
        self._listeners.extend(listeners)

    async def run(self) -> None:
        """Renew the table about once a second, until cancelled; without a table there is nothing to do."""
        while not self._is_stock:
            try:
                await self._refresh()
            except ChatchatError as failure:
                self._lost(failure)
            except Exception:  # a table that stays old would only be noticed much later
                log.exception("the table of leases could not be renewed")
            await asyncio.sleep(REFRESH_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, no secret

    async def routes(self, model: str) -> Sequence[Route]:
        """Every worker a request may be sent to; at least one.

        While the controller is away, the last table is believed for half a minute.

        Raises:
            UnknownModel: neither served nor configured.
            NoWorker: configured, but nothing serves it now.
            ServiceUnreachable, TookTooLong: there is no table to go by, and the controller does not answer.
        """
        found = self._routes.get(model)
        if found and self._clock() < self._known_until:
            return found
        return await self.look_up(model)

    def known(self, model: str) -> Sequence[Route]:
        """The workers of a model in the table as it is; none where there is no table."""
        return self._routes.get(model, ())

    async def look_up(self, model: str) -> Sequence[Route]:
        """`routes`, as the controller says now."""
        if not self._is_stock:
            await self._fresh()
        if self._is_stock:
            return [await self._asked(model)]
        found = self._routes.get(model)
        if not found:
            raise self._failure(model, self._routes)
        return found

    async def close(self) -> None:
        """Give up a question that is under way."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    async def tasks(self) -> Mapping[str, str | None]:
        """The models with a live worker, and what each does, as far as somebody says."""
        if not self._is_stock:
            await self._fresh()
        live = dict.fromkeys(await self._controller.models()) if self._is_stock else self._tasks
        return {model: live[model] or self._configured_task(model) for model in sorted(live)}

    async def task(self, model: str) -> str | None:
        """What one live model does.

        Raises:
            UnknownModel, NoWorker: as `routes`.
        """
        live = await self.tasks()
        if model not in live:
            raise self._failure(model, live)
        return live[model]

    async def _fresh(self) -> None:
        """A table that is newer than this call, or the last one while it may be believed."""
        running = self._refreshing
        try:
            if running is not None and not running.done():
                await asyncio.shield(running)  # it may have been asked for before a worker came that is wanted now
            await self._refresh()
        except ChatchatError as failure:
            self._lost(failure)
            if self._clock() >= self._known_until:
                raise

    async def _refresh(self) -> None:
        """Ask for the leases, once for all who wait."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._read())
            self._refreshing.add_done_callback(_look_at)  # those who waited may have left
        await asyncio.shield(self._refreshing)

    async def _read(self) -> None:
        try:
            leases = (await self._controller.leases()).leases
        except ProviderFailed:  # an answer that is not ours: is it a stock FastChat controller?
            await self._controller.models()
            log.warning("the controller shows no leases (it is FastChat's own): it will be asked for every route")
            self._is_stock = True
            return
        routes: dict[str, list[Route]] = {}
        tasks: dict[str, str | None] = {}
        for lease in leases:
            route = Route(lease.worker.rstrip("/"), lease.status.dialect, lease.status.queue_length)
            for model in lease.status.model_names:
                routes.setdefault(model, []).append(route)
                tasks[model] = lease.status.tasks.get(model) or tasks.get(model)
        self._routes, self._tasks = routes, tasks
        self._known_until = self._clock() + TABLE_SECONDS
        addresses = {route.address for found in routes.values() for route in found}
        for listener in self._listeners:
            listener(addresses)
        if self._is_lost:
            log.info("the controller is back")
            self._is_lost = False

    def _lost(self, failure: ChatchatError) -> None:
        if not self._is_lost:
            log.warning("the controller is lost; its last table is used for %d seconds: %s", TABLE_SECONDS, failure)
            self._is_lost = True

    async def _asked(self, model: str) -> Route:
        """A stock controller counts what it hands out, so it is asked for each request."""
        found = await self._controller.address(model)
        if not found.address:
            raise self._failure(model, [] if model in self._served else await self._controller.models())
        return Route(found.address.rstrip("/"), found.dialect)

    def _configured_task(self, model: str) -> str | None:
        configured = self._served.get(model)
        return configured.task if configured else None

    def _failure(self, model: str, live: Mapping[str, object] | Sequence[str]) -> UnknownModel | NoWorker:
        if model in self._served:
            return NoWorker(model=model)
        known = sorted({*live, *self._served})
        return UnknownModel(model=model, known=", ".join(known) or "none")


def _look_at(finished: asyncio.Task[None]) -> None:
    if not finished.cancelled():
        finished.exception()
