"""Lends a script the processes it needs for as long as it needs them. Used by init_database.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import httpx

from services.clients.openai import OpenAIClient
from services.foundation.errors import ChatchatError, InvalidSetting, ServiceUnreachable
from services.foundation.settings.tree import Settings
from services.supervisor.flags import Flags
from services.supervisor.keeper import Policy, Status
from services.supervisor.preflight import prepare
from services.supervisor.supervisor import Supervisor

_POLL_SECONDS = 0.2


@asynccontextmanager
async def served(settings: Settings, models: Collection[str]) -> AsyncIterator[None]:
    """See to it that the gateway serves `models` inside the block.

    When it does already (the stack is running), nothing is started; else controller, gateway and the workers are, and
    they are stopped at the end. Ctrl-C ends the block.

    Raises:
        InvalidSetting: they cannot be started as configured; the reason names the problem.
        ServiceUnreachable: they ended before the block did.
    """
    if not models or await _are_served(settings, models):
        yield
        return
    wanted = Flags(control_plane=True, local_models=True, remote_models=True, model_names=tuple(models))
    plan, problems = prepare(settings, wanted)
    if problems:
        raise InvalidSetting(setting="server", reason="; ".join(problem.render("en") for problem in problems))
    supervisor = Supervisor(plan, Policy.of(settings.server), settings.server.logging, _Silent())
    running = asyncio.create_task(supervisor.run())
    block = asyncio.current_task()

    def interrupt(_: asyncio.Task[None]) -> None:
        if block is not None:
            block.cancel()

    running.add_done_callback(interrupt)
    try:
        while not await _are_served(settings, models):  # noqa: ASYNC110 - other processes have no event
            await asyncio.sleep(_POLL_SECONDS)
        yield
    except asyncio.CancelledError:
        if not running.done():
            raise
        raise ServiceUnreachable(service="models", url=settings.server.gateway.url, reason=_why(running)) from None
    finally:
        running.remove_done_callback(interrupt)
        supervisor.stop()
        await asyncio.gather(running, return_exceptions=True)


def _why(ended: asyncio.Task[None]) -> str:
    failure = None if ended.cancelled() else ended.exception()
    return "they were stopped" if failure is None else str(failure)


async def is_milvus_open(settings: Settings) -> bool:
    """Whether a process of a running stack has the embedded Milvus open: then it must be used through that one."""
    if not settings.embeds_milvus:
        return False
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            return (await client.get(f"{settings.server.milvus_health.url}/healthz")).status_code == 200
    except httpx.HTTPError:
        return False


async def _are_served(settings: Settings, models: Collection[str]) -> bool:
    keys = settings.server.access_keys
    async with OpenAIClient(
        settings.server.gateway.url, timeout_seconds=5, key=keys[0] if keys else None, service="gateway"
    ) as client:
        try:
            return set(models) <= {card.id for card in (await client.models()).data}
        except ChatchatError:
            return False


class _Silent:
    """Shows nothing; the script has a display of its own."""

    def changed(self, status: Status) -> None:
        pass

    def complete(self) -> None:
        pass

    def stopping(self) -> None:
        pass
