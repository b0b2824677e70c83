"""The processes behind the API, each as an app that says how it is: one indexes files, one has Milvus Lite open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.api.bootstrap import Replacements, Role, build, open_milvus
from services.foundation.http import Health, Lifespan, ServiceOptions, create_service_app, render_openai
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

    return _app("ingest", lifespan, parts.health)


def create_milvus_app(settings: Settings) -> FastAPI:
    """The process that has the embedded Milvus open for the others."""
    opened = False

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        nonlocal opened
        server = await asyncio.to_thread(open_milvus, settings)
        opened = True
        try:
            yield
        finally:
            opened = False
            await asyncio.to_thread(server.close)

    return _app("milvus", lifespan, lambda: Health("ok" if opened else "starting"))


def _app(name: str, lifespan: Lifespan, health: Callable[[], Health]) -> FastAPI:
    return create_service_app(ServiceOptions(name=name, dialect=render_openai, lifespan=lifespan, health=health))
