"""The process behind the API that indexes files, as an app that says how it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.api.bootstrap import Replacements, build
from services.api.parts import Role
from services.foundation.http import ServiceOptions, create_service_app, render_openai
from services.foundation.settings.tree import Settings


def create_ingest_app(settings: Settings, *, number: int = 1, replace: Replacements | None = None) -> FastAPI:
    """A process that indexes files; its number tells it from others on this machine."""
    parts = build(settings, replace or Replacements(), Role.INGEST, number=number)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await parts.start_indexing()
        try:
            yield
        finally:
            await parts.stop()

    options = ServiceOptions(name="ingest", dialect=render_openai, lifespan=lifespan, health=parts.health)
    return create_service_app(options)
