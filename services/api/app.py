"""create_app: the API's routers, lifespan and failure dialects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from services.api.bootstrap import Replacements, build
from services.api.parts import Parts, Role
from services.foundation.access import AccessCheck
from services.foundation.errors import ChatchatError
from services.foundation.http import (
    STATUS,
    ServiceOptions,
    create_service_app,
    envelope_body,
    language_of,
    render_openai,
    request_id_of,
)
from services.foundation.settings.tree import Settings

_MULTIPART_SLACK_BYTES = 10_000_000  # beside the file itself
# What 0.2.10 does not know answers with the true status; its own paths answer 200 with the code in the envelope.
_ON_BASES = ("details", "files", "preview_docs", "cancel_docs", "explain_search", "temp_docs", "delete_temp_docs")
_NEW_PATHS = ("/conversations", "/models", "/server/answering", *(f"/knowledge_base/{name}" for name in _ON_BASES))


def create_app(settings: Settings, replace: Replacements | None = None, role: Role = Role.WHOLE) -> FastAPI:
    """Make the API. `replace` puts other parts (fakes) in the place of the configured ones."""
    parts = build(settings, replace or Replacements(), role)

    def dialect(error: ChatchatError, request: Request) -> JSONResponse:
        path: str = request.scope["path"]
        if path.endswith("/chat/completions"):
            return render_openai(error, request)
        body = envelope_body(error, request_id_of(request), language_of(request, settings.server.language))
        if path.endswith(("/list_files", "/summary_doc_ids_to_vector_store")):
            body["data"] = [] if path.endswith("/list_files") else {}  # as 0.2.10's
        true_status = path.startswith(_NEW_PATHS) or error.code.startswith(("access.", "request.too_large"))
        return JSONResponse(body, STATUS[error.kind] if true_status else 200)

    app = create_service_app(
        ServiceOptions(
            name="api",
            dialect=dialect,
            lifespan=lambda _: _lifespan(parts),
            access=AccessCheck(settings.server.access_keys),
            health=parts.health,
            body_limit_bytes=settings.knowledge.file_limit_bytes + _MULTIPART_SLACK_BYTES,
        ),
        title="Langchain-Chatchat API Server",
    )
    _render_http_failures(app)
    for router in parts.routers:
        app.include_router(router)
    app.add_api_route("/", lambda: RedirectResponse("/docs"), include_in_schema=False)
    return app


@asynccontextmanager
async def _lifespan(parts: Parts) -> AsyncIterator[None]:
    await parts.start()
    try:
        yield
    finally:
        await parts.stop()


def _render_http_failures(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def _plain(_: Request, error: HTTPException) -> JSONResponse:
        body = {"code": error.status_code, "msg": error.detail, "data": None}
        return JSONResponse(body, error.status_code, headers=error.headers)
