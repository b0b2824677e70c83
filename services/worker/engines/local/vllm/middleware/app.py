"""WorkerMiddleware: who may ask vLLM what, how many at a time, and in which words. Loaded by vLLM's own server."""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.foundation.errors import ChatchatError, InvalidRequest, RequestAbandoned
from services.foundation.http import openai_dialect
from services.worker.engines.local.vllm.middleware import fastchat
from services.worker.engines.local.vllm.middleware.admission import Admission, Pulse
from services.worker.engines.local.vllm.middleware.answers import (
    Exchange,
    Relay,
    Whole,
    not_offered,
    ranked,
    send_whole,
    unexpected,
)
from services.worker.engines.local.vllm.middleware.inner import counter
from services.worker.engines.local.vllm.middleware.plan import VARIABLE, MiddlewarePlan
from services.worker.engines.local.vllm.middleware.progress import Progress
from services.worker.engines.local.vllm.middleware.requests import (
    Fields,
    fields_in,
    instructed,
    read_body,
    redirected,
    replayed,
)

log = logging.getLogger(__name__)

_ADMITTED = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank", "/v1/responses"}
_OPEN = {
    ("GET", "/health"),
    ("GET", "/metrics"),
    ("GET", "/v1/models"),
    ("POST", "/tokenize"),
    ("POST", "/detokenize"),
}
_HOST = re.compile(rb"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")


class _Answer(Protocol):
    """`send` for the inner application."""

    async def __call__(self, message: Message) -> None: ...

    async def fail(self, failure: ChatchatError, request_id: str) -> None: ...


class WorkerMiddleware:
    """Around vLLM's application. Its plan comes from the environment, where `arguments` puts it."""

    def __init__(self, app: ASGIApp, plan: MiddlewarePlan | None = None) -> None:
        self._app = app
        self._plan = plan or MiddlewarePlan.from_json(os.environ[VARIABLE])  # noqa: TID251 - set by our parent
        self._pulse = Pulse()
        self._admission = Admission(
            self._plan.model,
            concurrency=self._plan.concurrency,
            waiting_limit=self._plan.waiting_limit,
            pulse=self._pulse,
        )
        self._progress = Progress(app, self._admission, self._pulse)
        self._own: Mapping[tuple[str, str], Callable[[Scope, Receive, Send], Awaitable[None]]] = {
            ("GET", "/vitals"): self._vitals,
            ("POST", "/worker_get_status"): self._status,
            ("POST", "/worker_get_conv_template"): self._conversation,
            ("POST", "/model_details"): self._details,
            ("POST", "/count_token"): self._count,
            ("POST", "/worker_generate"): self._generate,
            ("POST", "/worker_generate_stream"): self._generate,
            ("POST", "/worker_get_embeddings"): self._embed,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on; vLLM's web sockets are closed to all."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _request_id(scope)
        scope["chatchat.request_id"] = request_id
        route = (scope["method"], scope["path"])
        try:
            _check_host(scope)
            if route[0] == "POST" and route[1] in _ADMITTED:
                await self._admitted(scope, receive, send)
            elif route in _OPEN:
                await self._inner(scope, receive, Relay(send, Exchange(self._plan, request_id), Pulse()))
            elif route in self._own:
                await self._own[route](scope, receive, send)
            else:
                await send_whole(not_offered(*route), send)
        except RequestAbandoned:
            return
        except ChatchatError as refused:
            await send_whole(openai_dialect(refused, request_id), send)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive, self._plan.body_limit_bytes)
        exchange = Exchange(self._plan, scope["chatchat.request_id"], counter(self._app, scope, body))
        answer: _Answer = Relay(send, exchange, self._pulse)
        if scope["path"] == "/v1/embeddings":
            body = instructed(body, self._plan)
            scope = redirected(scope, scope["path"], body)
        elif scope["path"] == "/v1/rerank":
            answer = Whole(send, _ranking(exchange, with_documents=bool(fields_in(body).get("return_documents"))))
        await self._in_turn(scope, replayed(body, receive), answer, receive)

    async def _in_turn(self, scope: Scope, replay: Receive, answer: _Answer, receive: Receive) -> None:
        if not await self._admission.enter(receive):
            raise RequestAbandoned
        try:
            await self._inner(scope, replay, answer)
        finally:
            self._admission.leave()

    async def _inner(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            failure = unexpected(error, self._plan.model)
            log.warning("vLLM raised: %s [%s]", failure, scope["chatchat.request_id"])
            await answer.fail(failure, scope["chatchat.request_id"])
            raise  # vLLM's own outermost layer looks whether its engine is dead

    async def _vitals(self, scope: Scope, _: Receive, send: Send) -> None:
        await self._progress.look(scope)
        vitals = {
            "running": self._admission.running,
            "waiting": self._admission.waiting,
            "silent_seconds": round(self._admission.silent_seconds, 3),
        }
        await send_whole(JSONResponse(vitals), send)

    async def _status(self, _: Scope, __: Receive, send: Send) -> None:
        busy = self._admission.running + self._admission.waiting
        await send_whole(JSONResponse(fastchat.status_of(self._plan, busy)), send)

    async def _conversation(self, _: Scope, __: Receive, send: Send) -> None:
        await send_whole(JSONResponse({"conv": self._plan.conversation}), send)

    async def _details(self, _: Scope, __: Receive, send: Send) -> None:
        await send_whole(JSONResponse({"context_length": self._plan.context_tokens}), send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, body = fastchat.counting(await self._fields(receive), self._plan)
        answer = Whole(send, lambda status, read: fastchat.counted(status, read, self._plan))
        await self._inner(redirected(scope, path, body), replayed(body, receive), answer)

    async def _embed(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, body = fastchat.embedding(await self._fields(receive), self._plan)
        answer = Whole(send, lambda status, read: fastchat.embedded(status, read, self._plan))
        try:
            await self._in_turn(redirected(scope, path, body), replayed(body, receive), answer, receive)
        except ChatchatError as refused:
            await send_whole(fastchat.refusal(refused), send)

    async def _generate(self, scope: Scope, receive: Receive, send: Send) -> None:
        streamed = scope["path"] == "/worker_generate_stream"
        try:
            fields = await self._fields(receive)
            path, body = fastchat.generation(fields, self._plan)
            echo = str(fields["prompt"]) if fields.get("echo") else ""
            answer = fastchat.Cumulative(send, self._plan, self._pulse, echo=echo, streamed=streamed)
            await self._in_turn(redirected(scope, path, body), replayed(body, receive), answer, receive)
        except RequestAbandoned:
            raise
        except ChatchatError as refused:
            await send_whole(fastchat.refusal(refused, terminated=streamed), send)

    async def _fields(self, receive: Receive) -> Fields:
        return fields_in(await read_body(receive, self._plan.body_limit_bytes))


def _ranking(exchange: Exchange, *, with_documents: bool) -> Callable[[int, bytes], Awaitable[Response]]:
    async def finish(status: int, body: bytes) -> Response:
        if status >= 400:
            return await exchange.refusal(status, body)
        return ranked(body, with_documents=with_documents)

    return finish


def _check_host(scope: Scope) -> None:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        raise InvalidRequest(field="host", reason="exactly one well-formed Host header is needed")


def _request_id(scope: Scope) -> str:
    shown = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return shown.decode() if _REQUEST_ID.fullmatch(shown) else secrets.token_hex(16)
