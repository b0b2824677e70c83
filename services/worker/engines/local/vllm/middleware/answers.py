"""What stands between vLLM's answer and the client: errors become ours, everything else passes as it is."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import JSONResponse, Response
from starlette.types import Message, Send

from services.foundation.errors import ChatchatError, ContextTooLong, EngineFailed
from services.foundation.http import openai_body, openai_dialect
from services.worker.engines.local.vllm.middleware.admission import Pulse
from services.worker.engines.local.vllm.middleware.failures import failure_in
from services.worker.engines.local.vllm.middleware.plan import MiddlewarePlan

log = logging.getLogger(__name__)

_ERROR_EVENT = b'data: {"error"'
_EVENT = b"data: "


async def send_whole(response: Response, send: Send) -> None:
    """Send a response that needs no request."""
    await response({"type": "http"}, _nothing, send)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """What an error answer is told with.

    Attributes:
        plan: says the model.
        request_id: of the request.
        count: its tokens in full, where vLLM says only that they are too many; None where they cannot be counted.
    """

    plan: MiddlewarePlan
    request_id: str
    count: Callable[[], Awaitable[int | None]] | None = None

    async def refusal(self, status: int, body: bytes) -> Response:
        """Our answer for vLLM's with an error status."""
        failure = failure_in(status, body, self.plan)
        if isinstance(failure, ContextTooLong) and failure.facts["tokens"] == _next(failure) and self.count:
            counted = await self.count()
            failure = ContextTooLong(**{**failure.facts, "tokens": counted or failure.facts["tokens"]})
        return openai_dialect(failure, self.request_id)


class Whole:
    """`send` for an answer that is read to its end and answered by another.

    Args:
        send: the client's.
        finish: status and body of vLLM's answer → the response.
    """

    def __init__(self, send: Send, finish: Callable[[int, bytes], Awaitable[Response]]) -> None:
        self._send = send
        self._finish = finish
        self._status = 500
        self._pieces: list[bytes] = []
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            return
        self._pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            self.has_begun = True
            await send_whole(await self._finish(self._status, b"".join(self._pieces)), self._send)

    async def fail(self, failure: ChatchatError, request_id: str) -> None:
        """The failure to send: vLLM raised instead of answering."""
        if not self.has_begun:
            await send_whole(openai_dialect(failure, request_id), self._send)


class Relay:
    """`send` for OpenAI's routes. A chunk of a stream costs one call and one look at its beginning.

    Args:
        send: the client's.
        exchange: what its errors are told with.
        pulse: is told of progress.
    """

    def __init__(self, send: Send, exchange: Exchange, pulse: Pulse) -> None:
        self._send = send
        self._exchange = exchange
        self._pulse = pulse
        self._refused: Whole | None = None
        self._is_stream = False
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        pulse = self._pulse
        pulse.at = pulse.clock()
        if self._is_stream:
            if message.get("body", b"").startswith(_ERROR_EVENT):
                message = {**message, "body": self._event(message["body"])}
            await self._send(message)
        elif self._refused is not None:
            await self._refused(message)
        else:
            await self._begin(message)

    async def fail(self, failure: ChatchatError, request_id: str) -> None:
        """The failure to send: vLLM raised, before its answer began or in the middle of a stream."""
        if self._is_stream:
            body = _packed(failure, request_id)
            await self._send({"type": "http.response.body", "body": body, "more_body": False})
        elif not self.has_begun:
            await send_whole(openai_dialect(failure, request_id), self._send)

    async def _begin(self, message: Message) -> None:
        """The start, or the body of a good answer that is no stream."""
        if message["type"] == "http.response.start":
            if message["status"] >= 400:
                self._refused = Whole(self._send, self._refusal)
                await self._refused(message)
                return
            self.has_begun = True
            self._is_stream = any(
                name == b"content-type" and value.startswith(b"text/event-stream")
                for name, value in message.get("headers", [])
            )
        await self._send(message)

    async def _refusal(self, status: int, body: bytes) -> Response:
        self.has_begun = True
        return await self._exchange.refusal(status, body)

    def _event(self, body: bytes) -> bytes:
        event, separator, rest = body.partition(b"\n\n")
        failure = failure_in(500, event.removeprefix(_EVENT), self._exchange.plan)
        log.warning("a stream ended by: %s [%s]", failure, self._exchange.request_id)
        return _packed(failure, self._exchange.request_id).removesuffix(b"\n\n") + separator + rest


def unexpected(error: Exception, model: str) -> EngineFailed:
    """What vLLM let escape."""
    return EngineFailed(model=model, reason=f"{type(error).__name__}: {error}"[:500])


def _next(failure: ContextTooLong) -> int:
    """Where vLLM stops counting."""
    return int(failure.facts["limit"] or 0) + 1


def not_offered(method: str, path: str) -> Response:
    """The answer for a route that is not there, or not for others."""
    error = {"message": f"{method} {path} is not offered here", "type": "invalid_request_error", "param": None}
    return JSONResponse({"error": {**error, "code": "not_found"}}, 404)


def ranked(body: bytes, *, with_documents: bool) -> Response:
    """A ranking of vLLM on our wire: a document is its text, and there only when it was asked for."""
    answer = json.loads(body)
    for result in answer["results"]:
        document = result.pop("document", None) or {}
        if with_documents:
            result["document"] = document.get("text")
    return JSONResponse(answer)


def _packed(failure: ChatchatError, request_id: str) -> bytes:
    return _EVENT + json.dumps(openai_body(failure, request_id), ensure_ascii=False).encode() + b"\n\n"
