"""Build the gateway's application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from services.clients.control import ControllerClient
from services.foundation.access import AccessCheck
from services.foundation.http import ServiceOptions, create_service_app, render_openai, use_openai_errors
from services.foundation.settings.tree import Settings
from services.gateway.callers import Callers
from services.gateway.cards import Cards
from services.gateway.control import LOOKUP_SECONDS, Control
from services.gateway.directory import Directory
from services.gateway.relay import Relay
from services.gateway.replicas import Replicas
from services.gateway.routes import inference_routes, model_routes, token_check_routes
from services.gateway.token_check import TokenChecks
from services.gateway.upstream import Upstream


def create_app(settings: Settings) -> FastAPI:
    """The gateway in front of the configured controller. It starts, and answers 503, while that is absent."""
    server = settings.server
    controller = ControllerClient(server.controller.url, timeout_seconds=LOOKUP_SECONDS, token=server.worker_token)
    upstream, replicas = Upstream(server.request_timeout_seconds), Replicas()
    directory = Directory(Control(controller, upstream, server), settings.models.served)
    cards = Cards(directory, upstream)
    directory.tell(replicas.keep, cards.keep)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await upstream.start()
        renewing = asyncio.create_task(directory.run())
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing
            await directory.close()
            await upstream.close()
            await controller.close()

    access = AccessCheck(server.access_keys)
    options = ServiceOptions(name="gateway", dialect=render_openai, lifespan=lifespan, access=access)
    app = create_service_app(options, title="Chatchat gateway", description="OpenAI-compatible server.")
    use_openai_errors(app)
    callers = Callers(server.caller_limit, by_key=bool(server.access_keys))
    inference = inference_routes(callers, Relay(directory, replicas, upstream))
    app.router.routes.extend(inference)
    app.answer_directly({route.path: route.app for route in inference if not route.param_convertors})
    app.include_router(model_routes(cards))
    app.include_router(token_check_routes(callers, TokenChecks(directory, replicas, upstream)))
    return app
