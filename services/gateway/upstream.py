"""Upstream: the gateway's HTTP client towards workers: connections kept alive, and answers taken as they come."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import urlsplit

from pydantic import JsonValue

from services.foundation.errors import ServiceUnreachable, TookTooLong
from services.gateway.connection import Connection

_CONNECT_SECONDS = 5.0
_KEEP_ALIVE_SECONDS = 3.0  # below uvicorn's 5: no request meets a connection the worker just closed
_SWEEPS_A_TIMEOUT = 8
_LONGEST_SWEEP_SECONDS = 1.0
_SERVICE = "worker"
BREAKS = (OSError, TimeoutError)
"""What a worker's answer may break off with; `Answer.failure` names it."""


class _NoConnection(TimeoutError):
    """No connection in time."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL, taken apart.

    Attributes:
        host, port, is_tls: where to connect to.
        netloc: for the Host header.
        path: with its query.
    """

    host: str
    port: int
    is_tls: bool
    netloc: str
    path: str

    def request(self, method: Literal["GET", "POST"], body: bytes, request_id: str, key: str = "") -> bytes:
        """The request as it goes over the wire."""
        lines = [
            f"{method} {self.path} HTTP/1.1",
            f"host: {self.netloc}",
            "accept-encoding: identity",
            "user-agent: chatchat-gateway",
        ]
        if method == "POST":
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        if key:
            lines.append(f"x-api-key: {key}")
        if request_id:
            lines.append(f"x-request-id: {request_id}")
        return "\r\n".join((*lines, "", "")).encode("latin-1") + body


class Upstream:
    """One pool of connections. Proxy variables, cookies and redirects are unknown to it; bodies are not decoded.

    Args:
        timeout_seconds: longest wait for the next byte.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self._idle: dict[tuple[str, int, bool], list[Connection]] = {}
        self._busy: set[Connection] = set()
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look after the connections; on the loop that will use them."""
        self._sweeping = asyncio.create_task(self._sweep())

    async def close(self) -> None:
        """Close every connection."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeping
            self._sweeping = None
        for connection in [*self._busy, *(one for kept in self._idle.values() for one in kept)]:
            connection.close()
        self._idle.clear()

    @asynccontextmanager
    async def open(self, url: str, body: bytes, request_id: str) -> AsyncIterator[Answer]:
        """Send a JSON body; the answer's head is there when the block begins.

        Leaving the block before the answer's end closes the connection, which is how the worker learns to stop.

        Raises:
            ServiceUnreachable: no connection, or it broke before the head of the answer.
            TookTooLong: the worker kept the connection and was silent.
        """
        answer = await self.post(url, body, request_id)
        try:
            yield answer
        finally:
            answer.close()

    async def post(self, url: str, body: bytes, request_id: str) -> Answer:
        """`open` without the block: whoever asked closes the answer. Raises as `open`."""
        try:
            return await self._asked(url, target(url).request("POST", body, request_id))
        except BREAKS as failure:
            raise named(failure, url, self.timeout_seconds) from failure

    async def fetch(self, url: str, payload: Mapping[str, JsonValue], request_id: str) -> tuple[int, bytes]:
        """Status and body of a short exchange. Raises as `open` and `Answer.read`."""
        async with self.open(url, json.dumps(payload).encode(), request_id) as answer:
            return answer.status, await answer.read()

    async def get(
        self, url: str, timeout_seconds: float, *, key: str = "", service: str = _SERVICE
    ) -> tuple[int, bytes]:
        """Status and body of a GET that must be quick. Raises as `fetch`; `service` is who the failure names."""
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await self._asked(url, target(url).request("GET", b"", "", key))
                try:
                    return answer.status, await answer.read()
                finally:
                    answer.close()
        except BREAKS as failure:
            raise named(failure, url, timeout_seconds, service) from failure

    async def _asked(self, url: str, request: bytes) -> Answer:
        if self._sweeping is None:
            raise ServiceUnreachable(service=_SERVICE, url=url, reason="the gateway has not started")
        where = target(url)
        connection = self._kept(where) or await _connected(where)
        self._busy.add(connection)
        try:
            connection.ask(request)
            await connection.head()
        except BaseException:
            connection.close()
            self._busy.discard(connection)
            raise
        return Answer(connection, self, url)

    def _kept(self, where: _Target) -> Connection | None:
        kept = self._idle.get((where.host, where.port, where.is_tls), [])
        now = asyncio.get_running_loop().time()
        while kept:
            connection = kept.pop()
            if connection.is_reusable(now, _KEEP_ALIVE_SECONDS):
                return connection
            connection.close()
        return None

    def take_back(self, connection: Connection, url: str) -> None:
        """Keep a connection whose answer was taken whole; close any other."""
        if connection not in self._busy:
            return
        self._busy.remove(connection)
        now = asyncio.get_running_loop().time()
        connection.idle_since = now
        if self._sweeping is None or not connection.is_reusable(now, _KEEP_ALIVE_SECONDS):
            connection.close()
            return
        where = target(url)
        self._idle.setdefault((where.host, where.port, where.is_tls), []).append(connection)

    async def _sweep(self) -> None:
        """End silent answers and old connections, until cancelled. One clock for all of them is cheaper than many."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_LONGEST_SWEEP_SECONDS, self.timeout_seconds / _SWEEPS_A_TIMEOUT))
            now = loop.time()
            for connection in tuple(self._busy):
                connection.give_up_silence(now, self.timeout_seconds)
            for key, kept in list(self._idle.items()):
                fresh = [connection for connection in kept if connection.is_reusable(now, _KEEP_ALIVE_SECONDS)]
                for connection in set(kept) - set(fresh):
                    connection.close()
                self._idle[key] = fresh
                if not fresh:
                    del self._idle[key]


class Answer:
    """A worker's answer: its head, and its body as it comes."""

    def __init__(self, connection: Connection, upstream: Upstream, url: str) -> None:
        self._connection = connection
        self._upstream = upstream
        self._url = url
        self.status = connection.status
        self.headers = connection.headers
        """The raw header lines, in order."""
        self.next_bytes = connection.next_bytes
        """What has come since the last call, b"" at the end; raises one of BREAKS. Bare, because it runs so often."""
        self.flow = connection.flow
        """Hands what is left of the body to a function, each piece as it comes; raises as `next_bytes`."""

    @property
    def is_event_stream(self) -> bool:
        kinds = [value for name, value in self.headers if name.lower() == b"content-type"]
        return bool(kinds) and kinds[0].partition(b";")[0].strip().lower() == b"text/event-stream"

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, each piece as soon as it is there. Raises ServiceUnreachable or TookTooLong when it breaks off."""
        while piece := await self._next():
            yield piece

    async def _next(self) -> bytes:
        try:
            return await self.next_bytes()
        except BREAKS as failure:
            raise self.failure(failure) from failure

    async def read(self) -> bytes:
        """The whole body. Raises as `chunks`."""
        return b"".join([piece async for piece in self.chunks()])

    def failure(self, failure: Exception) -> ServiceUnreachable | TookTooLong:
        """The name of what `next_bytes` raised."""
        return named(failure, self._url, self._upstream.timeout_seconds)

    def close(self) -> None:
        """Give the connection back when the body was read to its end; otherwise close it."""
        self._upstream.take_back(self._connection, self._url)


async def _connected(where: _Target) -> Connection:
    context = ssl.create_default_context() if where.is_tls else None
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, connection = await loop.create_connection(Connection, where.host, where.port, ssl=context)
    except TimeoutError as failure:
        raise _NoConnection from failure
    return connection


@lru_cache(maxsize=1024)
def target(url: str) -> _Target:
    """Where a URL leads. Addresses come from leases, whose form the controller checked."""
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Target(parts.hostname or "", parts.port or (443 if is_tls else 80), is_tls, parts.netloc, path)


def named(
    failure: Exception, url: str, timeout_seconds: float, service: str = _SERVICE
) -> ServiceUnreachable | TookTooLong:
    """Our failure for one of BREAKS."""
    if isinstance(failure, _NoConnection):
        return ServiceUnreachable(service=service, url=url, reason="no connection in time")
    if isinstance(failure, TimeoutError):
        return TookTooLong(service=service, timeout_seconds=timeout_seconds)
    return ServiceUnreachable(service=service, url=url, reason=type(failure).__name__)
