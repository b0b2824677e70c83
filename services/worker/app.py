"""Build the worker's application: it serves first and starts its engines meanwhile. Called by `__main__` and tests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from fastapi import FastAPI, Request, Response
from pydantic import SecretStr

from services.clients.control import ControllerClient
from services.foundation.errors import RequestAbandoned
from services.foundation.http import ServiceOptions, create_service_app, render_openai, use_openai_errors
from services.worker import fastchat_routes, routes
from services.worker.care import CareRules
from services.worker.hosting import Hosting
from services.worker.registration import Registration

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What one worker process runs.

    Attributes:
        hosting: the models.
        address: base URL under which others reach this worker.
        controller_url: where it registers; None: nowhere.
        worker_token: shown to the controller.
        heartbeat_seconds: how often the lease is renewed.
        care: when a model counts as sick.
        give_up: called when no engine could be started or one is sick beyond healing here; the failures are logged.
    """

    hosting: Hosting
    address: str
    controller_url: str | None = None
    worker_token: SecretStr | None = None
    heartbeat_seconds: float = 2.0
    care: CareRules = field(default_factory=CareRules)
    give_up: Callable[[], None] = lambda: None


def create_app(plan: WorkerPlan, *, name: str = "worker") -> FastAPI:
    """The worker over the models of its plan."""
    hosting = plan.hosting

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as closing:
            closing.push_async_callback(hosting.stop)
            wake = await _registered(plan, closing)
            await _background(closing, _start(plan, wake))
            yield

    options = ServiceOptions(name=name, dialect=render_openai, lifespan=lifespan, health=hosting.health)
    app = create_service_app(options, title="Chatchat worker", description="Runs models; OpenAI's and FastChat's wire.")
    use_openai_errors(app)
    app.include_router(routes.router(hosting))
    app.include_router(routes.tokenizing_router(hosting))
    app.include_router(fastchat_routes.router(hosting))

    @app.exception_handler(RequestAbandoned)
    async def _gone(_: Request, __: RequestAbandoned) -> Response:
        return Response(status_code=499)  # nobody reads it; nginx's code for the log

    return app


async def _registered(plan: WorkerPlan, closing: AsyncExitStack) -> Callable[[], None]:
    """Keep a lease until `closing`; returns what tells the registration that the models have changed."""
    if plan.controller_url is None:
        return lambda: None
    client = await closing.enter_async_context(ControllerClient(plan.controller_url, token=plan.worker_token))
    registration = Registration(
        client,
        address=lambda: plan.hosting.server_address or plan.address,
        status=plan.hosting.status,
        heartbeat_seconds=plan.heartbeat_seconds,
    )
    closing.push_async_callback(registration.withdraw)
    await _background(closing, registration.run())
    return registration.wake


async def _background(closing: AsyncExitStack, work: Coroutine[None, None, None]) -> None:
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    closing.push_async_callback(end)


async def _start(plan: WorkerPlan, wake: Callable[[], None]) -> None:
    try:
        await plan.hosting.start(wake)
        if plan.hosting.has_failed:
            reasons = "; ".join(f"{model.name}: {model.reason}" for model in plan.hosting.models)
            log.error("no model could be started, leaving: %s", reasons)
        else:
            log.error("leaving, so that a new process can do better: %s", await plan.hosting.keep(plan.care, wake))
    except Exception:
        log.exception("the models cannot be looked after any more, leaving")
    plan.give_up()
