"""Upstream: the gateway's HTTP client towards workers. aiohttp, which relays a stream for a third of httpx's CPU."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from pydantic import JsonValue
from yarl import URL

from services.foundation.errors import ServiceUnreachable, TookTooLong

_CONNECT_SECONDS = 5.0
_KEEP_ALIVE_SECONDS = 3.0  # below uvicorn's 5: no request meets a connection the worker just closed
_DIRECT_BYTES = 1_000_000  # aiohttp warns when more is sent as one piece
_SERVICE = "worker"
BREAKS = (aiohttp.ClientError, OSError, TimeoutError)
"""What a worker's answer may break off with; `Answer.failure` names it."""


class Upstream:
    """One connection pool. Proxy variables, cookies and redirects are ignored; bodies are not decoded.

    Args:
        timeout_seconds: longest wait for the next byte.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the pool; on the loop that will use it."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=self._timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"accept-encoding": "identity", "user-agent": "chatchat-gateway"},
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

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
        session = self._opened(url)
        try:
            response = await session.post(
                URL(url, encoded=True),
                data=body if len(body) < _DIRECT_BYTES else io.BytesIO(body),
                headers={"content-type": "application/json", "x-request-id": request_id},
                allow_redirects=False,
            )
        except BREAKS as failure:
            raise named(failure, url, self._timeout_seconds) from failure
        return Answer(response, url, self._timeout_seconds)

    async def fetch(self, url: str, payload: Mapping[str, JsonValue], request_id: str) -> tuple[int, bytes]:
        """Status and body of a short exchange. Raises as `open` and `Answer.read`."""
        async with self.open(url, json.dumps(payload).encode(), request_id) as answer:
            return answer.status, await answer.read()

    async def get(self, url: str, timeout_seconds: float) -> tuple[int, bytes]:
        """Status and body of a GET that must be quick. Raises as `fetch`."""
        session = self._opened(url)
        limit = aiohttp.ClientTimeout(total=timeout_seconds)
        try:
            async with session.get(URL(url, encoded=True), timeout=limit, allow_redirects=False) as response:
                return response.status, await response.read()
        except BREAKS as failure:
            raise named(failure, url, timeout_seconds) from failure

    def _opened(self, url: str) -> aiohttp.ClientSession:
        if self._session is None:
            raise ServiceUnreachable(service=_SERVICE, url=url, reason="the gateway has not started")
        return self._session


class Answer:
    """A worker's answer: its head, and its body as it comes."""

    def __init__(self, response: aiohttp.ClientResponse, url: str, timeout_seconds: float) -> None:
        self._response = response
        self._url = url
        self._timeout_seconds = timeout_seconds
        self.next_bytes = response.content.readany
        """What has come since the last call, b"" at the end; raises one of BREAKS. Bare, because it runs so often."""

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The raw header lines, in order."""
        return list(self._response.raw_headers)

    @property
    def is_event_stream(self) -> bool:
        return self._response.content_type == "text/event-stream"

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
        try:
            return await self._response.read()
        except BREAKS as failure:
            raise self.failure(failure) from failure

    def failure(self, failure: Exception) -> ServiceUnreachable | TookTooLong:
        """The name of what `next_bytes` raised."""
        return named(failure, self._url, self._timeout_seconds)

    def close(self) -> None:
        """Give the connection back to the pool when the body was read to its end; otherwise close it."""
        self._response.close()


def named(failure: Exception, url: str, timeout_seconds: float) -> ServiceUnreachable | TookTooLong:
    """Our failure for one of BREAKS."""
    if isinstance(failure, aiohttp.ConnectionTimeoutError):
        return ServiceUnreachable(service=_SERVICE, url=url, reason="no connection in time")
    if isinstance(failure, TimeoutError):
        return TookTooLong(service=_SERVICE, timeout_seconds=timeout_seconds)
    return ServiceUnreachable(service=_SERVICE, url=url, reason=type(failure).__name__)
