"""A scripted provider on loopback: it answers what it is told, and keeps what it was asked. For the remote suites."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from uvicorn.server import ServerState

from services.foundation.errors import ChatchatError
from services.foundation.settings.providers import Provider
from services.wire.openai import ChatCompletionRequest
from services.worker.engines.base import EngineSpec
from services.worker.engines.remote.openai_compatible import OpenAICompatibleEngine
from tests.contract.engine import KEY, MODEL, collect, spec


@dataclass(kw_only=True)
class Reply:
    """One answer: a body (text, or what becomes JSON), events, or raw pieces of a body."""

    status: int = 200
    body: object = None
    events: list[str] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    endless: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang_seconds: float = 0.0
    gap_seconds: float = 0.0


@dataclass
class Asked:
    """One request as it arrived."""

    url: str
    headers: Mapping[str, str]
    fields: dict[str, Any]


@dataclass(kw_only=True)
class Script(Reply):
    """The provider: `before` holds its first answers, what it is itself is the answer after those."""

    before: list[Reply] = field(default_factory=list)
    answer: Callable[[Asked], object] | None = None
    requests: list[Asked] = field(default_factory=list)
    streaming: int = 0
    abandoned: int = 0

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [request.fields for request in self.requests]

    async def __call__(self, request: Request) -> Response:
        url = f"{request.headers['host']}{request.url.path}{'?' * bool(request.url.query)}{request.url.query}"
        self.requests.append(Asked(url, request.headers, json.loads(await request.body())))
        reply = self.before.pop(0) if self.before else self
        if await self._is_left_hanging(request, reply.hang_seconds):
            return Response()
        if reply.events or reply.pieces or reply.endless:
            return StreamingResponse(self._stream(reply), reply.status, reply.headers, "text/event-stream")
        body = reply.body if self.answer is None else self.answer(self.requests[-1])
        if isinstance(body, str):
            return Response(body, reply.status, reply.headers)
        return JSONResponse(body, reply.status, reply.headers)

    async def _is_left_hanging(self, request: Request, seconds: float) -> bool:
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            if await request.is_disconnected():
                self.abandoned += 1
                return True
            await asyncio.sleep(0.01)
        return False

    async def _stream(self, reply: Reply) -> AsyncIterator[bytes]:
        self.streaming += 1
        try:
            for piece in [*(f"data: {event}\n\n".encode() for event in reply.events), *reply.pieces]:
                yield piece
                await asyncio.sleep(reply.gap_seconds)
            while reply.endless:
                yield reply.endless
                await asyncio.sleep(reply.gap_seconds)
        finally:
            self.streaming -= 1


@asynccontextmanager
async def provided(script: Script) -> AsyncIterator[str]:
    """Serve the script; yields its origin. uvicorn's own start and stop take a fifth of a second, hundreds of times."""
    app = Starlette(routes=[Route("/{path:path}", script.__call__, methods=["POST"])])
    config = uvicorn.Config(app, log_level="warning", lifespan="off")
    config.load()
    protocol: Any = config.http_protocol_class
    state = ServerState()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        for connection in list(state.connections):
            connection.shutdown()
        async with asyncio.timeout(5):
            while state.tasks or state.connections:
                await asyncio.sleep(0.002)


def spec_at(provider: Provider, *, task: str = "chat", **options: object) -> EngineSpec:
    """What an engine of that provider is made from."""
    return replace(spec(**options), provider=provider, task=task)


@asynccontextmanager
async def relaying(script: Script, *, task: str = "chat", **quirks: Any) -> AsyncIterator[OpenAICompatibleEngine]:
    """A started engine whose provider is the script; `quirks` are fields of its entry."""
    async with provided(script) as url:
        entry = {
            "base_url": f"{url}/v1",
            "api_key": KEY,
            "retries": {"first_wait_seconds": 0.01},
            "timeouts": {"first_byte_seconds": 0.4, "between_bytes_seconds": 0.4},
        }
        provider = Provider.model_validate({**entry, **quirks})
        engine = OpenAICompatibleEngine(spec_at(provider, task=task, model="up"))
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop()


def chat_request(**fields: object) -> ChatCompletionRequest:
    messages = [{"role": "user", "content": "hello"}]
    return ChatCompletionRequest.model_validate({"model": MODEL, "messages": messages, **fields})


def event(delta: dict[str, object], reason: str | None = None, **fields: object) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice], **fields}
    return json.dumps(chunk, ensure_ascii=False)


GOOD = [event({"role": "assistant", "content": "hi"}), event({}, "stop"), "[DONE]"]


async def failure_of(engine: Any, request: ChatCompletionRequest | None = None) -> ChatchatError:
    """How a chat fails; the key is nowhere to be seen in it."""
    with pytest.raises(ChatchatError) as failed:
        await collect(engine, request or chat_request())
    for shown in (str(failed.value), repr(failed.value), repr(failed.value.facts), repr(engine), str(vars(engine))):
        assert KEY not in shown
    return failed.value
