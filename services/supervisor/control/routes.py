"""The supervisor's control wire. Called by the controller, by workers, and by people with curl; not by browsers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import SecretStr

from services.foundation.access import AccessCheck
from services.foundation.errors import Forbidden
from services.foundation.http import (
    ServiceOptions,
    create_service_app,
    openai_body,
    render_openai,
    request_id_of,
    use_openai_errors,
)
from services.foundation.sse import event_response
from services.supervisor.control.operation import Operation
from services.supervisor.control.switchboard import Switchboard
from services.wire.control import ProcessList, Progress, ReplaceModel


def create_app(switchboard: Switchboard, token: SecretStr | None) -> FastAPI:
    """The service over a switchboard. With a worker token set, every route but /healthz asks for it."""
    access = AccessCheck([token] if token else [])
    options = ServiceOptions(name="supervisor", dialect=render_openai, access=access, body_limit_bytes=100_000)
    app = create_service_app(
        options, title="Chatchat supervisor", description="Models started and stopped at run time."
    )
    use_openai_errors(app)
    app.include_router(router(switchboard))
    return app


def router(switchboard: Switchboard) -> APIRouter:
    """Every route. A name may hold slashes, as those of hubs do.

    An operation is answered with its progress as server-sent events; with `Accept: application/json` by the last one
    alone; and with `?wait=false` by the first one, at once.
    """
    routes = APIRouter(tags=["supervisor"], dependencies=[Depends(_refuse_browsers)])

    @routes.get("/processes")
    async def processes() -> ProcessList:
        return switchboard.processes()

    @routes.post("/models/{name:path}/start", response_model=Progress)
    async def start(name: str, request: Request, *, wait: bool = True) -> Response:
        return await _answer(request, switchboard.start(name), wait=wait)

    @routes.post("/models/{name:path}/stop", response_model=Progress)
    async def stop(name: str, request: Request, *, wait: bool = True) -> Response:
        return await _answer(request, switchboard.stop(name), wait=wait)

    @routes.post("/models/{name:path}/restart", response_model=Progress)
    async def restart(name: str, request: Request, *, wait: bool = True) -> Response:
        return await _answer(request, switchboard.restart(name), wait=wait)

    @routes.post("/models/{name:path}/replace", response_model=Progress)
    async def replace(name: str, wanted: ReplaceModel, request: Request, *, wait: bool = True) -> Response:
        return await _answer(request, switchboard.replace(name, wanted), wait=wait)

    return routes


async def _refuse_browsers(request: Request) -> None:
    """A page in a browser of this machine can reach loopback; it must not be able to stop a model."""
    if "origin" in request.headers or "sec-fetch-site" in request.headers:
        raise Forbidden(what="A request from a web page", reason="the supervisor is called by programs only")


async def _answer(request: Request, operation: Operation, *, wait: bool) -> Response:
    if not wait:
        return JSONResponse(operation.latest.model_dump(), 202)
    if "application/json" in request.headers.get("accept", ""):
        last = operation.latest
        async for progress in operation.progress():
            last = progress
        return JSONResponse(last.model_dump())
    request_id = request_id_of(request)
    return event_response(
        _events(operation),
        failure=lambda error: json.dumps(openai_body(error, request_id), ensure_ascii=False),
        separator="\n",
    )


async def _events(operation: Operation) -> AsyncIterator[str]:
    async for progress in operation.progress():
        yield progress.model_dump_json()
