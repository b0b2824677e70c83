"""`create_service_app`: the one way to make a service: lifespan, error dialects, request id, access, /healthz.

Everything around the routes is plain ASGI: Starlette's BaseHTTPMiddleware buffers and breaks cancellation of streams.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar

import yaml
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import JsonValue
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.foundation import VERSION
from services.foundation.access import AccessCheck
from services.foundation.errors import ChatchatError, InvalidRequest, Kind, RequestAbandoned, RequestTooLarge

log = logging.getLogger(__name__)

STATUS: Mapping[Kind, int] = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED: 415,
    Kind.OVERLOADED: 429,
    Kind.UNAVAILABLE: 503,
    Kind.UPSTREAM: 502,
    Kind.TIMEOUT: 504,
    Kind.INTERNAL: 500,
}
_RETRY_SECONDS = {Kind.OVERLOADED: "1", Kind.UNAVAILABLE: "2"}
_OPENAI_CODES = {
    "model.unknown": "model_not_found",
    "model.context_too_long": "context_length_exceeded",
    "access.unauthenticated": "invalid_api_key",
    "model.busy": "rate_limit_exceeded",
    "caller.busy": "rate_limit_exceeded",
    "model.worker_lost": "worker_lost",
    "model.out_of_memory": "out_of_memory",
}
_OPENAI_TYPES = {
    Kind.UNAUTHENTICATED: "authentication_error",
    Kind.FORBIDDEN: "permission_error",
    Kind.OVERLOADED: "rate_limit_error",
    Kind.UNAVAILABLE: "service_unavailable_error",
    Kind.UPSTREAM: "upstream_error",
    Kind.TIMEOUT: "timeout_error",
    Kind.INTERNAL: "server_error",
}

T = TypeVar("T")
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Health:
    """What /healthz answers: 200 for ok and degraded, 503 for starting."""

    status: Literal["ok", "starting", "degraded"] = "ok"
    detail: Mapping[str, str] = field(default_factory=dict)


@cache
def _sentences(language: str) -> Mapping[str, str]:
    path = Path(__file__).with_name(f"messages.{language.replace('-', '_')}.yaml")
    if not path.exists():
        return {}
    loaded: dict[str, str] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def sentence(error: ChatchatError, language: str) -> str:
    """The failure's sentence in `language` ("zh-CN" or "en")."""
    return error.render(_sentences(language).get(error.code, error.sentence))


def language_of(request: Request, default: str) -> str:
    """The language the client asks for in Accept-Language, or `default`."""
    wanted = request.headers.get("accept-language", "").lower()
    if wanted.startswith("en"):
        return "en"
    return "zh-CN" if wanted.startswith("zh") else default


def error_facts(error: ChatchatError, request_id: str) -> dict[str, JsonValue]:
    """What a client needs to rebuild the failure: code, kind, facts, request id."""
    return {"code": error.code, "kind": error.kind.value, "facts": dict(error.facts), "request_id": request_id}


def openai_body(error: ChatchatError, request_id: str) -> dict[str, JsonValue]:
    """The failure as OpenAI writes it, with our own facts beside."""
    return {
        "error": {
            "message": str(error),
            "type": _OPENAI_TYPES.get(error.kind, "invalid_request_error"),
            "param": error.facts.get("field"),
            "code": _OPENAI_CODES.get(error.code, error.code),
            "chatchat": error_facts(error, request_id),
        }
    }


def openai_dialect(error: ChatchatError, request_id: str) -> JSONResponse:
    """Render a failure for OpenAI clients, with its true status."""
    return JSONResponse(openai_body(error, request_id), STATUS[error.kind], headers=_headers(error))


def _headers(error: ChatchatError) -> dict[str, str]:
    headers = {}
    if error.kind in _RETRY_SECONDS:
        told = error.facts.get("retry_after_seconds")
        headers["retry-after"] = str(math.ceil(told)) if isinstance(told, int | float) else _RETRY_SECONDS[error.kind]
    if error.kind is Kind.UNAUTHENTICATED:
        headers["www-authenticate"] = "Bearer"
    return headers


def envelope_body(error: ChatchatError, request_id: str, language: str) -> dict[str, JsonValue]:
    """The failure as the 0.2.10 wire writes it: code, msg, data; our own facts beside."""
    return {
        "code": STATUS[error.kind],
        "msg": sentence(error, language),
        "data": None,
        "error": error_facts(error, request_id),
    }


def request_id_of(request: Request) -> str:
    """The id of this request, as set by the outermost layer."""
    found: str = request.scope.get("chatchat.request_id", "")
    return found


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """What differs between services.

    Attributes:
        name: service name, shown by /healthz and in logs.
        dialect: how a failure is rendered for a request.
        lifespan: opens and closes what the service holds.
        access: key check; None lets everyone in (loopback-only services).
        health: asked by /healthz.
        body_limit_bytes: a larger request body is refused with 413 before it is read whole.
    """

    name: str
    dialect: Callable[[ChatchatError, Request], JSONResponse]
    lifespan: Lifespan | None = None
    access: AccessCheck | None = None
    health: Callable[[], Health] = Health
    body_limit_bytes: int = 20_000_000


class Service(FastAPI):
    """A service's application. Single paths may pass FastAPI by (docs/decisions/0009)."""

    service_options: ServiceOptions
    _direct: Mapping[str, ASGIApp] = MappingProxyType({})

    def answer_directly(self, paths: Mapping[str, ASGIApp]) -> None:
        """Answer POST requests for exactly these paths by plain ASGI applications.

        Request id, access, limits and failures are as before any route; those added later are not seen. FastAPI's own
        layers, its choice of a route among them, are left out. `scope["chatchat.send"]` is the server's `send` itself.
        """
        known = {kind: render for kind, render in self.exception_handlers.items() if kind is not Exception}
        unknown = self.exception_handlers[Exception]

        def layered(inner: ASGIApp) -> ASGIApp:
            outer = _Outermost(ExceptionMiddleware(inner, handlers=known), options=self.service_options)
            return ServerErrorMiddleware(outer, handler=unknown)

        self._direct = {path: layered(inner) for path, inner in paths.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._direct.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if found is None:
            await super().__call__(scope, receive, send)
            return
        scope["chatchat.send"] = send
        await found(scope, receive, send)


def create_service_app(options: ServiceOptions, *, title: str | None = None, description: str = "") -> Service:
    """Make a FastAPI application that behaves like every other service of the stack."""
    app = Service(
        title=title or options.name,
        version=VERSION,
        description=description,
        lifespan=options.lifespan,
        redirect_slashes=False,  # such a redirect is built from the Host header
    )
    app.service_options = options
    app.add_middleware(_Outermost, options=options)

    @app.exception_handler(ChatchatError)
    async def _known(request: Request, error: ChatchatError) -> JSONResponse:
        level = logging.ERROR if STATUS[error.kind] >= 500 else logging.INFO
        log.log(level, "%s %s: %s [%s]", request.method, request.scope["path"], error, request_id_of(request))
        return options.dialect(error, request)

    @app.exception_handler(Exception)
    async def _unknown(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed [%s]", request.method, request.scope["path"], request_id_of(request), exc_info=error)
        answer = options.dialect(ChatchatError(reason=type(error).__name__), request)
        answer.headers["x-request-id"] = request_id_of(request)  # Starlette answers this one outside of `_Outermost`
        return answer

    @app.get("/healthz", include_in_schema=False)
    async def _healthz() -> JSONResponse:
        health = options.health()
        body = {"status": health.status, "service": options.name, "version": VERSION, "detail": dict(health.detail)}
        return JSONResponse(body, 503 if health.status == "starting" else 200)

    return app


_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LENGTH = re.compile(r"[0-9]{1,20}")
_HOST = re.compile(r"(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_HOST_LIMIT_CHARS = 262  # a name of 255 characters, a colon, and a port
_GIVEN_ONCE = ("host", "authorization", "x-api-key", "content-length")


class _Outermost:
    """Request id in and out, Host, the access check, and the body limit, before anything else sees the request."""

    def __init__(self, app: ASGIApp, options: ServiceOptions) -> None:
        self._app = app
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # none is spoken; a route of one would stand outside of the access check
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        shown = headers.get("x-request-id", "")
        request_id = shown if _REQUEST_ID.fullmatch(shown) else secrets.token_hex(16)
        scope["chatchat.request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            self._admit(scope, headers)
        except ChatchatError as refused:
            response = self._options.dialect(refused, Request(scope))
            response.status_code = STATUS[refused.kind]  # the api's 200 belongs to its routes; none was asked yet
            response.headers.update(_headers(refused))
            await response(scope, receive, send_with_id)
            return
        await self._app(scope, self._bounded(receive), send_with_id)

    def _admit(self, scope: Scope, headers: Mapping[str, str]) -> None:
        _refuse_ambiguous(headers, scope["headers"])
        if self._options.access is not None:
            query = scope["query_string"].decode("latin-1")
            self._options.access.check(scope["path"], headers, query=query, method=scope["method"])
        declared = headers.get("content-length", "")
        if _LENGTH.fullmatch(declared) and int(declared) > self._options.body_limit_bytes:
            raise RequestTooLarge(limit_bytes=self._options.body_limit_bytes)

    def _bounded(self, receive: Receive) -> Receive:
        """Count what comes in: a chunked body declares no length."""
        left = self._options.body_limit_bytes

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, RequestTooLarge(limit_bytes=self._options.body_limit_bytes).args[0])
            return message

        return counted


def _refuse_ambiguous(headers: Mapping[str, str], given: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse what a proxy before us may have read otherwise than we would: a strange Host, a header given twice."""
    if len(headers) < len(given):
        names = Counter(name for name, _ in given)
        for name in _GIVEN_ONCE:
            if names[name.encode()] > 1:
                raise InvalidRequest(field=name, reason="it is given more than once")
    host = headers.get("host", "")
    if len(host) > _HOST_LIMIT_CHARS or not _HOST.fullmatch(host):
        raise InvalidRequest(field="host", reason="it is not a host name or address with an optional port")


async def while_connected(request: Request, work: Coroutine[None, None, T]) -> T:
    """Do work whose outcome only this client waits for, and give it up when the client leaves.

    Raises:
        RequestAbandoned: the client left; nobody will read it.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise RequestAbandoned
        return task.result()
    finally:
        task.cancel()
        watcher.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def use_openai_errors(app: FastAPI) -> None:
    """Render malformed bodies and unknown routes in OpenAI's error shape too (gateway and workers)."""

    @app.exception_handler(RequestValidationError)
    async def _malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field_name = ".".join(str(part) for part in first["loc"] if part != "body")
        body = {
            "error": {
                "message": f"{field_name or 'body'}: {first['msg']}",
                "type": "invalid_request_error",
                "param": field_name or None,
                "code": "request.invalid",
                "chatchat": {"request_id": request_id_of(request)},
            }
        }
        return JSONResponse(body, 400)

    @app.exception_handler(HTTPException)
    async def _unrouted(request: Request, error: HTTPException) -> JSONResponse:
        body = {
            "error": {
                "message": f"{request.method} {request.scope['path']}: {error.detail}",
                "type": "invalid_request_error",
                "param": None,
                "code": "not_found" if error.status_code == 404 else "request.invalid",
                "chatchat": {"request_id": request_id_of(request)},
            }
        }
        return JSONResponse(body, error.status_code)


def render_openai(error: ChatchatError, request: Request) -> JSONResponse:
    """`ServiceOptions.dialect` of gateway and workers."""
    return openai_dialect(error, request_id_of(request))
