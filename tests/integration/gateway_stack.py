"""Controller and gateway on loopback with scripted workers behind them: what the gateway's tests stand on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx
import openai
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from services.clients.control import ControllerClient
from services.controller.app import create_app as create_controller
from services.foundation.settings.tree import Endpoint, Models, ServedModel, Server, Settings
from services.gateway.app import create_app as create_gateway
from services.wire.control import RegisterWorker, WorkerStatus
from tests.live import free_port, serve

SERVED = Models(
    default_chat="m",
    default_embedding="e",
    served={"m": ServedModel(task="chat", engine="x"), "e": ServedModel(task="embedding", engine="x")},
)


@dataclass
class Seen:
    """What a scripted worker saw."""

    bodies: list[bytes] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    closed_at: float = 0.0
    running: int = 0


def chunk(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    event = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(event)}\n\n".encode()


def scripted_worker(seen: Seen, *, pause_seconds: float = 0.01, events: int = 20) -> FastAPI:
    """An OpenAI-style worker: streams `events` chunks "<content>-<n>" slowly, echoes everything else."""
    app = FastAPI()

    async def generate(content: str) -> AsyncIterator[bytes]:
        seen.running += 1
        try:
            for number in range(events):
                yield chunk(f"{content}-{number} ")
                await asyncio.sleep(pause_seconds)
            yield b"data: [DONE]\n\n"
        finally:
            seen.running -= 1
            seen.closed_at = time.perf_counter()
            seen.closed.set()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await request.body()
        seen.bodies.append(body)
        seen.request_ids.append(request.headers.get("x-request-id", ""))
        seen.headers.append(dict(request.headers))
        fields = json.loads(body)
        content = fields["messages"][0]["content"]
        if content == "busy":
            return Response(b'{"error":{"message":"full"}}', 429, {"retry-after": "7"}, "application/json")
        if fields.get("stream"):
            return StreamingResponse(generate(content), media_type="text/event-stream")
        return Response('{"echo": "中文"}'.encode(), media_type="application/json; charset=utf-8")

    async def echo(request: Request) -> Response:
        body = await request.body()
        seen.bodies.append(body)
        return Response(request.scope["path"].encode() + b"\n" + body, media_type="application/json")

    for path in ("/v1/completions", "/v1/embeddings", "/v1/rerank"):
        app.add_api_route(path, echo, methods=["POST"])
    return app


async def breaking_worker(tail: bytes) -> tuple[asyncio.Server, str]:
    """What a worker killed mid-stream looks like: a good beginning, then the connection is reset."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in (chunk("a"), chunk("b"), tail):
            if piece:
                writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@dataclass
class Stack:
    gateway: str
    controller: str
    control: ControllerClient

    async def join(self, url: str, *models: str, dialect: str = "openai") -> None:
        tasks = dict.fromkeys(models, "chat")
        status = WorkerStatus(model_names=list(models), dialect=dialect, tasks=tasks)
        await self.control.register(RegisterWorker(worker_name=url, worker_status=status))

    def http(self, **options: object) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.gateway, timeout=10, **options)  # type: ignore[arg-type]

    def openai(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.gateway}/v1", api_key="none", max_retries=0, timeout=10)


@asynccontextmanager
async def stack(worker: FastAPI | None = None, **server: object) -> AsyncIterator[Stack]:
    """Controller and gateway; `worker`, if given, serves "m"."""
    port = free_port()
    settings = Settings(server=Server.model_validate({"controller": Endpoint(port=port), **server}), models=SERVED)
    async with AsyncExitStack() as opened:
        controller = await opened.enter_async_context(serve(create_controller(settings.server), port))
        gateway = await opened.enter_async_context(serve(create_gateway(settings)))
        control = await opened.enter_async_context(ControllerClient(controller, token=settings.server.worker_token))
        made = Stack(gateway, controller, control)
        if worker is not None:
            await made.join(await opened.enter_async_context(serve(worker)), "m")
        yield made
