"""Small questions of our own to vLLM's application, past the network. Used by the middleware."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Scope

from services.worker.engines.local.vllm.middleware.requests import Fields, replayed

_KEPT = ("type", "asgi", "http_version", "scheme", "app", "state", "root_path", "client", "server")
_COUNTED = ("messages", "prompt", "tools", "chat_template_kwargs", "add_generation_prompt", "add_special_tokens")


async def ask(app: ASGIApp, origin: Scope, route: tuple[str, str], body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of the application's answer.

    Args:
        app: vLLM's.
        origin: the scope of the request on whose behalf it is asked.
        route: method and path.
        body: JSON.
    """
    status, pieces = 500, list[bytes]()

    async def stay() -> Message:
        """Never leaves; vLLM listens for that while it works."""
        left: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await left

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        pieces.append(message.get("body", b""))

    method, path = route
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {
        **{name: origin[name] for name in _KEPT if name in origin},
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [*headers, (b"content-length", str(len(body)).encode())],
    }
    await app(scope, replayed(body, stay), send)
    return status, b"".join(pieces)


def counter(app: ASGIApp, origin: Scope, body: bytes) -> Callable[[], Awaitable[int | None]]:
    """Counts the tokens of a generation request in full, where vLLM had stopped at its limit."""

    async def count() -> int | None:
        fields = json.loads(body)
        asked: Fields = {name: fields[name] for name in _COUNTED if name in fields}
        status, answer = await ask(app, origin, ("POST", "/tokenize"), json.dumps(asked, ensure_ascii=False).encode())
        found = json.loads(answer).get("count") if status < 400 else None
        return found if isinstance(found, int) else None

    return count
