"""Relay: find the worker, pass the bytes through both ways, try a second worker when the first cannot be reached."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from services.foundation.errors import ChatchatError, ServiceUnreachable
from services.foundation.http import openai_body
from services.gateway.bodies import Call
from services.gateway.directory import Directory, Route
from services.gateway.fastchat_dialect import FastChatDialect
from services.gateway.upstream import Answer, Upstream

log = logging.getLogger(__name__)

_NOT_PASSED_ON = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
    | {b"date", b"server", b"x-request-id", b"content-length"}
)
"""Headers of one hop, and those this server writes itself."""


class WatchedResponse(Response):
    """Runs `produce` and cancels it at once when the client leaves.

    What `produce` raises before it sent anything is rendered by the application's failure dialect.
    """

    def __init__(self, produce: Callable[[Scope, Send], Awaitable[None]]) -> None:
        super().__init__()
        self._produce = produce

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.ensure_future(self._produce(scope, send))
        watch = asyncio.create_task(_client_gone(receive))
        watch.add_done_callback(lambda _: work.cancel())
        try:
            await work
        except asyncio.CancelledError:
            left = watch.done() and not watch.cancelled()
            if not left:
                work.cancel()
                raise
        finally:
            watch.cancel()


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Relay:
    """Serves calls by passing them on."""

    def __init__(self, directory: Directory, upstream: Upstream) -> None:
        self._directory = directory
        self._upstream = upstream
        self._fastchat = FastChatDialect(upstream)

    def respond(self, call: Call) -> Response:
        """The answer to `call`; everything happens while it is being sent.

        Before the first byte it raises UnknownModel, NoWorker, ServiceUnreachable, TookTooLong, and what a FastChat
        worker reports. Afterwards a failure is the last event of the stream.
        """
        return WatchedResponse(partial(self._serve, call))

    async def _serve(self, call: Call, scope: Scope, send: Send) -> None:
        route = await self._directory.route(call.model)
        try:
            await self._attempt(route, call, scope, send)
        except ServiceUnreachable as failure:
            log.warning("%s; looking for another worker [%s]", failure, call.request_id)
            self._directory.forget(call.model)
            route = await self._directory.route(call.model)
            await self._attempt(route, call, scope, send)

    async def _attempt(self, route: Route, call: Call, scope: Scope, send: Send) -> None:
        if route.dialect != "openai":
            response = await self._fastchat.respond(route.address, call)
            await response(scope, _nothing_more, send)
            return
        async with self._upstream.open(route.address + call.path, call.body, call.request_id) as answer:
            if answer.is_event_stream:
                await _pass_events(answer, call, send)
            else:
                await _pass_whole(answer, send)


async def _nothing_more() -> Message:
    """`receive` of an inner response: the outer one is watching the client already."""
    never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
    return await never


async def _pass_whole(answer: Answer, send: Send) -> None:
    body = await answer.read()  # first, so that a break leaves the status free to tell of it
    await send(_head(answer, (b"content-length", str(len(body)).encode())))
    await send({"type": "http.response.body", "body": body})


async def _pass_events(answer: Answer, call: Call, send: Send) -> None:
    await send(_head(answer))
    try:
        async for piece in whole_events(answer.chunks()):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except ChatchatError as failure:
        log.warning("stream of %r ended by: %s [%s]", call.model, failure, call.request_id)
        event = f"data: {json.dumps(openai_body(failure, call.request_id), ensure_ascii=False)}\n\n"
        await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _head(answer: Answer, *added: tuple[bytes, bytes]) -> Message:
    kept = [(name.lower(), value) for name, value in answer.headers if name.lower() not in _NOT_PASSED_ON]
    return {"type": "http.response.start", "status": answer.status, "headers": [*kept, *added]}


async def whole_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes, cut only between events.

    Workers write an event at a time, so nothing waits; but when a stream breaks inside an event, the part is dropped,
    and the failure written next stands as an event of its own.
    """
    held = b""
    async for chunk in chunks:
        held += chunk
        end = _end_of_events(held)
        if end:
            yield held[:end]
            held = held[end:]
    if held:
        yield held


def _end_of_events(text: bytes) -> int:
    line_feeds = text.rfind(b"\n\n")
    pairs = text.rfind(b"\r\n\r\n")
    return max(line_feeds + 2 if line_feeds >= 0 else 0, pairs + 4 if pairs >= 0 else 0)
