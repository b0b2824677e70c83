"""The process that has the embedded Milvus open for the others, as an app that says how it is.

It needs nothing else of the API, and imports nothing else: the stack's start waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.api.knowledge.vector_stores.milvus.lite import LiteServer
from services.foundation.http import Health, ServiceOptions, create_service_app, render_openai
from services.foundation.settings.tree import Settings


def create_milvus_app(settings: Settings) -> FastAPI:
    """Opens the embedded vector store where the other processes look for it, and closes it at the end."""
    opened = False

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        nonlocal opened
        where = settings.server.milvus
        server = await asyncio.to_thread(LiteServer, settings.vectors_folder, host=where.host, port=where.port)
        opened = True
        try:
            yield
        finally:
            opened = False
            await asyncio.to_thread(server.close)

    def health() -> Health:
        return Health("ok" if opened else "starting")

    return create_service_app(ServiceOptions(name="milvus", dialect=render_openai, lifespan=lifespan, health=health))
