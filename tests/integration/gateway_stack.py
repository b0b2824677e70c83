"""Controller and gateway on loopback with scripted workers behind them: what the gateway's tests stand on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
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
from services.worker.app import WorkerPlan
from services.worker.app import create_app as create_worker
from services.worker.engines.echo import EchoEngine
from services.worker.hosted import HostedModel
from services.worker.hosting import Hosting
from tests.contract.engine import spec
from tests.live import free_port, serve

SERVED = Models(
    default_chat="m",
    default_embedding="e",
    served={"m": ServedModel(task="chat", engine="x"), "e": ServedModel(task="embedding", engine="x")},
)

BUSY = (
    b'{"error": {"message": "full",  "code": "rate_limit_exceeded", "chatchat": {"code": "model.busy", "facts": {}}}}'
)
"""As a worker of ours writes it, but for a space too many: it must pass as it is."""
TOO_LONG = json.dumps(
    {
        "error": {
            "message": "This model's maximum context length is 1024 tokens. However, your prompt contains at least "
            "1025 input tokens. Please reduce the length.",
            "type": "BadRequestError",
            "param": "input_tokens",
            "code": 400,
        }
    }
).encode()
"""As vLLM 0.32 writes it."""
REFUSALS = {"busy": (429, BUSY), "too long for vllm": (400, TOO_LONG)}
_ECHOED = ("/v1/completions", "/v1/embeddings", "/v1/rerank", "/v1/responses", "/tokenize", "/detokenize")


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
        if content in REFUSALS:
            status, refusal = REFUSALS[content]
            return Response(refusal, status, {"retry-after": "7"}, "application/json")
        if fields.get("stream"):
            return StreamingResponse(generate(content), media_type="text/event-stream")
        return Response('{"echo": "中文"}'.encode(), media_type="application/json; charset=utf-8")

    async def echo(request: Request) -> Response:
        body = await request.body()
        seen.bodies.append(body)
        return Response(request.scope["path"].encode() + b"\n" + body, media_type="application/json")

    for path in _ECHOED:
        app.add_api_route(path, echo, methods=["POST"])
    return app


async def breaking_worker(*pieces: bytes) -> tuple[asyncio.Server, str]:
    """What a worker killed mid-stream looks like: some pieces of a stream, then the connection is reset."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
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

    async def join(self, url: str, *models: str, dialect: str = "openai", queue_length: int = 0) -> None:
        tasks = dict.fromkeys(models, "chat")
        status = WorkerStatus(model_names=list(models), dialect=dialect, tasks=tasks, queue_length=queue_length)
        # Nobody beats for them, so their leases do not expire.
        await self.control.register(RegisterWorker(worker_name=url, worker_status=status, check_heart_beat=False))

    async def leave(self, url: str) -> None:
        await self.control.register(RegisterWorker(worker_name=url, worker_status=WorkerStatus(model_names=[])))

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


@asynccontextmanager
async def echo_stack(*, echo: Mapping[str, object] | None = None, **server: object) -> AsyncIterator[Stack]:
    """Controller and gateway before a worker of ours with echo engines: "m" chats, "e" embeds, "r" ranks."""
    tasks = {"m": "chat", "e": "embedding", "r": "rerank"}
    models = [HostedModel(name, task, EchoEngine(spec(**(echo or {}))), 2000) for name, task in tasks.items()]
    app = create_worker(WorkerPlan(Hosting(models), address="http://unused"))
    async with stack(None, **server) as live, serve(app) as url, httpx.AsyncClient() as http:
        while (await http.get(f"{url}/healthz")).status_code != 200:
            await asyncio.sleep(0.01)
        await live.join(url, *tasks)
        yield live
