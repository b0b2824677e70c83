"""Upstream: the gateway's HTTP client towards workers. aiohttp, which relays a stream for a third of httpx's CPU."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import aiohttp
from pydantic import JsonValue
from yarl import URL

from services.foundation.errors import ServiceUnreachable, TookTooLong

_CONNECT_SECONDS = 3.0
_KEEP_ALIVE_SECONDS = 3.0  # below uvicorn's 5: no request meets a connection the worker just closed
_DIRECT_BYTES = 1_000_000  # aiohttp warns when more is sent as one piece
_SERVICE = "worker"


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
        if self._session is None:
            raise ServiceUnreachable(service=_SERVICE, url=url, reason="the gateway has not started")
        with _named(url, self._timeout_seconds):
            response = await self._session.post(
                URL(url, encoded=True),
                data=body if len(body) < _DIRECT_BYTES else io.BytesIO(body),
                headers={"content-type": "application/json", "x-request-id": request_id},
                allow_redirects=False,
            )
        try:
            yield Answer(response, url, self._timeout_seconds)
        finally:
            response.close()  # returns the connection to the pool when the body was read to its end

    async def fetch(self, url: str, payload: Mapping[str, JsonValue], request_id: str) -> tuple[int, bytes]:
        """Status and body of a short exchange. Raises as `open` and `Answer.read`."""
        async with self.open(url, json.dumps(payload).encode(), request_id) as answer:
            return answer.status, await answer.read()


class Answer:
    """A worker's answer: its head, and its body as it comes."""

    def __init__(self, response: aiohttp.ClientResponse, url: str, timeout_seconds: float) -> None:
        self._response = response
        self._url = url
        self._timeout_seconds = timeout_seconds

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
        with _named(self._url, self._timeout_seconds):
            async for chunk in self._response.content.iter_any():
                yield chunk

    async def read(self) -> bytes:
        """The whole body. Raises as `chunks`."""
        with _named(self._url, self._timeout_seconds):
            return await self._response.read()


@contextmanager
def _named(url: str, timeout_seconds: float) -> Iterator[None]:
    try:
        yield
    except aiohttp.ConnectionTimeoutError as failure:
        raise ServiceUnreachable(service=_SERVICE, url=url, reason="no connection in time") from failure
    except TimeoutError as failure:
        raise TookTooLong(service=_SERVICE, timeout_seconds=timeout_seconds) from failure
    except (aiohttp.ClientError, OSError) as failure:
        raise ServiceUnreachable(service=_SERVICE, url=url, reason=type(failure).__name__) from failure
