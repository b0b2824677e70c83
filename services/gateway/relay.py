"""Relay: choose a worker, pass the bytes through, try one other before the first byte. Called by the routes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence

from starlette.types import Message, Scope, Send

from services.foundation.errors import ChatchatError, ServiceUnreachable, TookTooLong, WorkerLost
from services.foundation.http import openai_body
from services.gateway.begun import Begun, begin
from services.gateway.bodies import Call
from services.gateway.directory import Directory
from services.gateway.failures import event_of_ours, is_failure_event, is_foreign_event, rewritten
from services.gateway.fastchat_dialect import FastChatDialect
from services.gateway.line import line_of
from services.gateway.replicas import Replicas, Route
from services.gateway.upstream import BREAKS, Answer, Upstream

log = logging.getLogger(__name__)

_ELSEWHERE = frozenset({429, 500, 502, 503})
"""Statuses with which another worker of the same model may do better."""
_LONGEST_EVENT_BYTES = 4_000_000
_NOT_PASSED_ON = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
    | {b"date", b"server", b"x-request-id", b"content-length"}
)
"""Headers of one hop, and those this server writes itself."""


class Relay:
    """Serves calls by passing them on."""

    def __init__(self, directory: Directory, replicas: Replicas, upstream: Upstream) -> None:
        self._directory = directory
        self._replicas = replicas
        self._upstream = upstream
        self._fastchat = FastChatDialect(upstream)

    async def serve(self, call: Call, scope: Scope, send: Send) -> None:
        """Answer `call`.

        Before the first byte it raises UnknownModel, NoWorker, ServiceUnreachable, TookTooLong, and what a FastChat
        worker reports. Afterwards a failure is the last event of the stream.
        """
        routes = await self._directory.routes(call.model)
        route = self._replicas.choose(routes)
        others = [other for other in routes if other.address != route.address]
        try:
            if await self._attempt(route, call, (scope, send), is_last=not others):
                return
        except ServiceUnreachable as failure:
            log.warning("%s; trying once more [%s]", failure, call.request_id)
            self._replicas.set_aside(route.address)
        other = self._replicas.choose(others or await self._directory.look_up(call.model))
        await self._attempt(other, call, (scope, send), is_last=True)

    async def _attempt(self, route: Route, call: Call, client: tuple[Scope, Send], *, is_last: bool) -> bool:
        """Let one worker answer; False when it turned the call away and there is another to try."""
        scope, send = client
        with self._replicas.busy(route.address):
            if route.dialect != "openai":
                response = await self._fastchat.respond(route.address, call)
                await response(scope, _nothing_more, send)
                return True
            answer = await self._upstream.post(route.address + call.path, call.body, call.request_id)
            try:
                if answer.status in _ELSEWHERE and not is_last:
                    log.warning("%s answered %d; trying another [%s]", route.address, answer.status, call.request_id)
                    return False
                if answer.is_event_stream:
                    return await _pass_events(answer, call, client, is_last=is_last)
                await _pass_whole(answer, call, send)
                return True
            finally:
                answer.close()


async def _nothing_more() -> Message:
    """`receive` of an inner response: the outer one is watching the client already."""
    never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
    return await never


async def _pass_whole(answer: Answer, call: Call, send: Send) -> None:
    body = await answer.read()  # first, so that a break leaves the status free to tell of it
    if answer.status >= 400:
        status, body = rewritten(answer.status, body, call)
        kept = [header for header in _kept(answer) if header[0] != b"content-type"]
        head = _head(status, [*kept, (b"content-type", b"application/json")], body)
    else:
        head = _head(answer.status, _kept(answer), body)
    await send(head)
    await send({"type": "http.response.body", "body": body})


async def _pass_events(answer: Answer, call: Call, client: tuple[Scope, Send], *, is_last: bool) -> bool:
    """Pass a stream on, cut only between events, and from the first whole one.

    False, with nothing sent, when that is the worker's failure and there is another worker to try.

    Workers write an event at a time, so nothing waits; but when a stream breaks inside an event, the part is dropped,
    and the failure written next stands as an event of its own.
    """
    scope, send = client
    events = Events(call, scope.get("chatchat.send", send))
    first = b""
    try:
        while not first and (piece := await answer.next_bytes()):
            first = events.whole(piece)
    except BREAKS as failure:
        raise answer.failure(failure) from failure
    if not is_last and is_failure_event(first):
        log.warning("%r failed before its first token; trying another [%s]", call.model, call.request_id)
        return False
    await send(_head(answer.status, _kept(answer)))
    if first:
        await send({"type": "http.response.body", "body": first, "more_body": True})
    try:
        await answer.flow(events.take)
        last = events.held
    except BREAKS as failure:
        last = _last_event(_lost(answer.failure(failure), call), call)
    await send({"type": "http.response.body", "body": last})
    return True


class Events:
    """The events of one stream on their way to its client.

    Args:
        call: what is answered.
        send: of the server, with nothing around it, because it runs for every piece.

    Attributes:
        held: the beginning of an event whose rest has not come.
    """

    def __init__(self, call: Call, send: Send) -> None:
        self.held = b""
        self._call = call
        self._send = send
        self._line = line_of(send)

    def whole(self, piece: bytes) -> bytes:
        """The whole events there are with this piece. Nearly always it is one."""
        if self.held or not piece.endswith(b"\n\n"):
            piece, self.held = cut(self.held + piece)
        return event_of_ours(piece, self._call) if is_foreign_event(piece) else piece

    def take(self, piece: bytes) -> Begun | None:
        """Send the whole events there are with this piece, once the head is sent.

        Now, when the client keeps up; otherwise what is returned waits for it and sends them.
        """
        events = self.whole(piece)
        if not events or (self._line is not None and self._line.write(events)):
            return None
        return begin(self._send({"type": "http.response.body", "body": events, "more_body": True}))


def _lost(failure: ServiceUnreachable | TookTooLong, call: Call) -> ChatchatError:
    if isinstance(failure, TookTooLong):
        return failure
    return WorkerLost(model=call.model, reason="its connection broke")


def _last_event(failure: ChatchatError, call: Call) -> bytes:
    log.warning("stream of %r ended by: %s [%s]", call.model, failure, call.request_id)
    return f"data: {json.dumps(openai_body(failure, call.request_id), ensure_ascii=False)}\n\n".encode()


def _kept(answer: Answer) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in answer.headers if name.lower() not in _NOT_PASSED_ON]


def _head(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes | None = None) -> Message:
    length = [] if body is None else [(b"content-length", str(len(body)).encode())]
    return {"type": "http.response.start", "status": status, "headers": [*headers, *length]}


def cut(text: bytes) -> tuple[bytes, bytes]:
    """The whole events in a piece of a stream, and the beginning of the next one."""
    line_feeds = text.rfind(b"\n\n")
    pairs = text.rfind(b"\r\n\r\n")
    end = max(line_feeds + 2 if line_feeds >= 0 else 0, pairs + 4 if pairs >= 0 else 0)
    if not end and len(text) > _LONGEST_EVENT_BYTES:
        return text, b""  # nothing is gained by holding back so much
    return text[:end], text[end:]
