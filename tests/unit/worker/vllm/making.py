"""Specs, a scripted vLLM as an ASGI application, and a client that speaks ASGI: what the tests of this folder use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from services.worker.engines.base import EngineSpec
from services.worker.engines.local.vllm.middleware import WorkerMiddleware
from services.worker.engines.local.vllm.middleware.plan import MiddlewarePlan
from services.worker.engines.local.vllm.middleware.requests import read_body


def spec(task: str = "chat", gpus: tuple[str, ...] = (), host: str = "127.0.0.1", **options: Any) -> EngineSpec:
    return EngineSpec(
        model="m",
        options={"path": "weights", **options},
        context_tokens=4096,
        model_dir=Path("model"),
        gateway_url="",
        gateway_key=None,
        timeout_seconds=5.0,
        task=task,
        host=host,
        gpus=gpus,
    )


@dataclass
class FakeVllm:
    """Answers what it was told to; `hold` keeps it from ending."""

    status: int = 200
    body: bytes = b"{}"
    events: list[bytes] = field(default_factory=list)
    error: Exception | None = None
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    hold: asyncio.Event | None = None
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["app"] is not None, "vLLM's routes look for it"
        body = await read_body(receive, 10**9) if scope["method"] == "POST" else b""
        self.asked.append((scope["path"], json.loads(body or b"{}")))
        if self.error and not self.events:
            raise self.error
        kind = b"text/event-stream; charset=utf-8" if self.events else b"application/json"
        status, whole = self.answers.get(scope["path"], (self.status, self.body))
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        for event in self.events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        if self.hold is not None:
            await self.hold.wait()
        if self.error:
            raise self.error
        await send({"type": "http.response.body", "body": b"" if self.events else whole, "more_body": False})


@dataclass
class Answer:
    """What a client got, message by message."""

    messages: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def chunks(self) -> list[bytes]:
        return [message["body"] for message in self.messages[1:] if message["body"]]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        return error


@dataclass
class Client:
    """Asks the middleware around a scripted vLLM."""

    vllm: FakeVllm
    plan: MiddlewarePlan = field(default_factory=lambda: MiddlewarePlan(model="m"))
    headers: list[tuple[bytes, bytes]] = field(default_factory=lambda: [(b"host", b"127.0.0.1:8000")])
    last: Answer = field(default_factory=Answer)

    def __post_init__(self) -> None:
        self.middleware = WorkerMiddleware(self.vllm, self.plan)

    async def ask(
        self, path: str, fields: Any = None, *, method: str = "POST", left: asyncio.Event | None = None
    ) -> Answer:
        answer = self.last = Answer()
        body = fields if isinstance(fields, bytes) else json.dumps(fields if fields is not None else {}).encode()
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if messages:
                return messages.pop(0)
            await (left or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            answer.messages.append(message)

        scope: Scope = {
            "type": "http",
            "app": self,
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": list(self.headers),
        }
        await self.middleware(scope, receive, send)
        return answer

    async def vitals(self) -> Any:
        return (await self.ask("/vitals", method="GET")).json


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not fact():
            await asyncio.sleep(0)
