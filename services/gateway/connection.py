"""Connection: one HTTP/1.1 connection to a worker, its answers parsed by httptools as the bytes come in. For upstream.

An answer is handed on from within the reading: no stream reader, no timer and no task wakes for each of its pieces.
That is what a relayed stream costs least with (docs/decisions/0006 and 0009).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from services.gateway.begun import Begun

_BODILESS = frozenset({204, 304})
_LONGEST_HEAD_BYTES = 1_000_000
_MOST_BUFFERED_BYTES = 1_000_000
"""More than this is left in the kernel until what came before has been taken."""


Take = Callable[[bytes], Begun | None]
"""Takes a piece; when it has to wait for that, it returns the rest of its work."""


class Broken(ConnectionError):
    """The connection ended before the answer did, or what came is no HTTP."""


class Connection(asyncio.Protocol):
    """Carries one exchange at a time; `Upstream` lends it to one caller after another.

    Attributes:
        status: of the answer under way; 0 before its head is there.
        headers: its raw header lines, in order.
        idle_since: when its last answer was taken, on the loop's clock.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.idle_since = 0.0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport  # from `connection_made` on, before anybody has the connection
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._buffered_bytes = self._head_bytes = 0
        self._has_head = self._is_complete = self._ends_with_connection = self._is_paused = False
        self._is_reusable = True
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._take: Take | None = None
        self._rest: Begun | None = None
        self._heard_at = 0.0

    def ask(self, request: bytes) -> None:
        """Send a request; the answer to the one before has been taken whole."""
        self.status, self.headers = 0, []
        self._has_head = self._is_complete = self._ends_with_connection = False
        self._head_bytes = 0
        self._heard_at = self._loop.time()
        self._transport.write(request)

    async def head(self) -> None:
        """Wait for status and headers. Raises Broken, OSError or TimeoutError."""
        while not self._has_head:
            await self._more()

    async def next_bytes(self) -> bytes:
        """What has come of the body since the last call, b"" at its end. Raises as `head`."""
        while not self._pieces:
            if self._is_complete:
                return b""
            await self._more()
        return self._gathered()

    async def flow(self, take: Take) -> None:
        """Hand what is left of the body to `take`, each piece from within its reading, until the end. Raises as `head`.

        While `take` waits, pieces gather here and then in the kernel, and in the end the worker waits, too. What `take`
        raises is raised here.
        """
        try:
            while True:
                if self._rest is None and self._pieces:
                    self._rest = take(self._gathered())
                elif self._rest is not None:
                    await self._rest
                    self._rest = None
                elif self._is_complete:
                    return
                else:
                    self._take = take
                    await self._more()
        finally:
            self._take = None
            if self._rest is not None:
                self._rest.close()
                self._rest = None

    def is_reusable(self, now: float, keep_alive_seconds: float) -> bool:
        """Whether another request may be sent over it."""
        is_idle = self._is_complete or not self.status
        return is_idle and self._is_reusable and self._failure is None and now - self.idle_since < keep_alive_seconds

    def give_up_silence(self, now: float, timeout_seconds: float) -> None:
        """Fail the answer when its worker has said nothing for too long; a slow reader is no silent worker."""
        if not self._is_complete and not self._is_paused and now - self._heard_at > timeout_seconds:
            self._fail(TimeoutError())

    def close(self) -> None:
        """End it at once."""
        self._is_reusable = False
        self._transport.abort()

    # asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def data_received(self, received: bytes) -> None:
        if self._is_complete:
            self._fail(Broken("more than was asked for"))
            return
        self._heard_at = self._loop.time()
        try:
            self._parser.feed_data(received)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as failure:
            self._fail(Broken(f"no HTTP: {failure}"))
        if not self._has_head:
            self._head_bytes += len(received)
            if self._head_bytes > _LONGEST_HEAD_BYTES:
                self._fail(Broken("a head without end"))
        if self._take is None or not self._pieces or not self._is_handed_on(self._take) or self._is_complete:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_reusable = False
        if self._ends_with_connection and exc is None:
            self._is_complete = True
            self._wake()
        elif not self._is_complete:
            self._fail(exc or Broken("the worker closed the connection"))

    # httptools' calls

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of the head."""
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The whole head is there."""
        self.status = self._parser.get_status_code()
        if self.status < 200:
            return
        self._has_head = True
        self._is_reusable = self._parser.should_keep_alive()
        names = {name.lower() for name, _ in self.headers}
        bounded = self.status in _BODILESS or b"content-length" in names or b"transfer-encoding" in names
        self._ends_with_connection = not bounded

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(body)
        self._buffered_bytes += len(body)
        if self._buffered_bytes > _MOST_BUFFERED_BYTES and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The body is whole; after an interim answer (1xx), the answer follows."""
        if self.status < 200:
            self.status, self.headers = 0, []
            return
        self._is_complete = True

    def _gathered(self) -> bytes:
        """What has come and was not taken yet, at least one piece; the worker may go on."""
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._resume()
        return piece

    def _is_handed_on(self, take: Take) -> bool:
        """Whether that is done; otherwise the task that waits in `flow` goes on with it."""
        try:
            self._rest = take(self._gathered())
        except Exception as failure:  # noqa: BLE001 - `flow` raises it
            self._fail(failure)
        if self._rest is None:
            return self._failure is None
        self._take = None
        return False

    async def _more(self) -> None:
        """Wait until something happened."""
        if self._failure is not None:
            raise self._failure
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _resume(self) -> None:
        self._buffered_bytes = 0
        if self._is_paused:
            self._is_paused = False
            self._heard_at = self._loop.time()
            self._transport.resume_reading()

    def _fail(self, failure: Exception) -> None:
        self._failure = self._failure or failure
        self.close()
        self._wake()
