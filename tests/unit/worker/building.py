"""What the worker's tests build: hosted models over the echo engine, and apps called without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

from services.worker.app import WorkerPlan, create_app
from services.worker.engines.echo import EchoEngine
from services.worker.hosted import HostedModel
from services.worker.hosting import Hosting
from tests.contract.engine import spec


def echo_model(name: str = "echo", task: str = "chat", **options: object) -> HostedModel:
    return HostedModel(name, task, EchoEngine(spec(**options)), 2000)


@asynccontextmanager
async def running(*models: HostedModel) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a worker whose engines have started."""
    app = create_app(WorkerPlan(Hosting(models), address="http://worker"))
    async with lifespan(app), client_of(app) as client:
        while (await client.get("/healthz")).status_code != 200:
            await asyncio.sleep(0)
        yield client


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://worker")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with app.router.lifespan_context(app):
        yield
