"""Build the controller's application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.controller.addresses import AllowedAddresses
from services.controller.calls import WorkerCalls
from services.controller.fleet import Fleet, FleetRules
from services.controller.release import Release
from services.controller.routes import router
from services.foundation.access import AccessCheck
from services.foundation.http import Health, ServiceOptions, create_service_app, render_openai, use_openai_errors
from services.foundation.settings.tree import Server


def create_app(server: Server) -> FastAPI:
    """The controller over an empty fleet. With a worker token set, every route but /healthz asks for it."""
    workers = WorkerCalls(server.request_timeout_seconds)
    rules = FleetRules(server.dispatch, server.lease_seconds, AllowedAddresses(server.worker_addresses))
    fleet = Fleet(rules, workers)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await workers.close()

    def health() -> Health:
        return Health("ok", {"workers": str(len(fleet.leases())), "models": ", ".join(fleet.list_models())})

    options = ServiceOptions(
        name="controller",
        dialect=render_openai,
        lifespan=lifespan,
        access=AccessCheck([server.worker_token] if server.worker_token else []),
        health=health,
    )
    app = create_service_app(options, title="Chatchat controller", description="FastChat's control wire.")
    use_openai_errors(app)
    app.include_router(router(fleet, Release(fleet, server.worker_token)))
    return app
