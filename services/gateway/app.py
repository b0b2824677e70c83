"""Build the gateway's application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.clients.control import ControllerClient
from services.foundation.access import AccessCheck
from services.foundation.http import ServiceOptions, create_service_app, render_openai, use_openai_errors
from services.foundation.settings.tree import Settings
from services.gateway.directory import Directory
from services.gateway.relay import Relay
from services.gateway.routes import router
from services.gateway.upstream import Upstream

_LOOKUP_SECONDS = 5.0


def create_app(settings: Settings) -> FastAPI:
    """The gateway in front of the configured controller. It starts, and answers 503, while that is absent."""
    server = settings.server
    controller = ControllerClient(server.controller.url, timeout_seconds=_LOOKUP_SECONDS, token=server.worker_token)
    upstream = Upstream(server.request_timeout_seconds)
    directory = Directory(controller, settings.models.served)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await upstream.start()
        try:
            yield
        finally:
            await upstream.close()
            await controller.close()

    options = ServiceOptions(
        name="gateway", dialect=render_openai, lifespan=lifespan, access=AccessCheck(server.access_keys)
    )
    app = create_service_app(options, title="Chatchat gateway", description="OpenAI-compatible server.")
    use_openai_errors(app)
    app.include_router(router(directory, Relay(directory, upstream)))
    return app
