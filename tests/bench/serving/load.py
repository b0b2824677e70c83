"""A closed-loop load client that costs little: one raw connection per stream. Used by the serving benches."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import psutil

_END = b"0\r\n\r\n"
_LIMIT_SECONDS = 120.0


@dataclass(frozen=True)
class Path:
    """One way to an engine.

    Attributes:
        name: shown in the tables.
        base_url: without the /v1.
        model: what the requests name.
        pids: process name → ids whose CPU is charged to this way, children included.
    """

    name: str
    base_url: str
    model: str
    pids: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Ask:
    """What each stream asks for, again and again."""

    content: str
    fields: Mapping[str, object] = field(default_factory=dict)

    def request(self, path: Path) -> bytes:
        messages = [{"role": "user", "content": self.content}]
        body = json.dumps({"model": path.model, "messages": messages, "stream": True, **self.fields}).encode()
        where = urlsplit(path.base_url)
        head = f"POST {where.path}/v1/chat/completions HTTP/1.1\r\nhost: {where.netloc}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body


@dataclass
class Answer:
    """One finished stream."""

    first_seconds: float
    gap_seconds: float
    events: int
    failure: str = ""


@dataclass
class Block:
    """What one path did in one stretch of time."""

    seconds: float
    answers: list[Answer]
    cpu_seconds: dict[str, float]

    @property
    def good(self) -> list[Answer]:
        return [answer for answer in self.answers if not answer.failure]

    @property
    def failures(self) -> list[str]:
        return [answer.failure for answer in self.answers if answer.failure]

    @property
    def per_second(self) -> float:
        return len(self.good) / self.seconds

    def cpu_ms(self, name: str) -> float:
        """CPU a request cost in the named process."""
        return 1000 * self.cpu_seconds[name] / max(1, len(self.good))


class _Stream(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.lost = False
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[Answer] | None = None
        self._began = self._first = self._last = 0.0
        self._events = 0
        self._tail = self._start = b""
        self._broken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def ask(self, request: bytes) -> asyncio.Future[Answer]:
        assert self._transport is not None
        self._first, self._events, self._tail, self._start, self._broken = 0.0, 0, b"", b"", False
        self._done = asyncio.get_running_loop().create_future()
        self._began = time.perf_counter()
        self._transport.write(request)
        return self._done

    def close(self) -> None:
        assert self._transport is not None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if len(self._start) < 400:
            self._start += data[:400]
        seen = self._tail + data
        found = seen.count(b"data: {")
        if found:
            self._first = self._first or now
            self._last = now
            self._events += found
            self._broken = self._broken or b'data: {"error"' in seen
        self._tail = seen[-6:]
        if seen.endswith(_END) or not self._start.startswith(b"HTTP/1.1 200"):
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._broken = True
        self._finish()

    def _finish(self) -> None:
        if self._done is None or self._done.done():
            return
        gap = (self._last - self._first) / max(1, self._events - 1)
        bad = self._broken or not self._events
        failure = (self._start[:200].decode("utf-8", "replace") or "cut off") if bad else ""
        self._done.set_result(Answer(self._first - self._began, gap, self._events, failure))


async def _ask_again_and_again(path: Path, request: bytes, until: float, answers: list[Answer]) -> None:
    where = urlsplit(path.base_url)
    host, port = where.hostname or "127.0.0.1", where.port or 80
    loop = asyncio.get_running_loop()
    stream: _Stream | None = None
    while time.perf_counter() < until:
        if stream is None or stream.lost:
            _, stream = await loop.create_connection(_Stream, host, port)
        answers.append(await asyncio.wait_for(stream.ask(request), _LIMIT_SECONDS))
        if answers[-1].failure:
            stream.close()
            stream = None
    if stream is not None:
        stream.close()


def _cpu_seconds(path: Path) -> dict[str, float]:
    return {name: sum(_of(pid) for pid in pids) for name, pids in path.pids.items()}


def _of(pid: int) -> float:
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    times = [member.cpu_times() for member in family]
    return sum(one.user + one.system for one in times)


async def measure(path: Path, ask: Ask, *, streams: int, seconds: float) -> Block:
    """Keep `streams` requests running for a while; those under way at the end are waited for and counted."""
    request = ask.request(path)
    answers: list[Answer] = []
    before, began = _cpu_seconds(path), time.perf_counter()
    until = began + seconds
    await asyncio.gather(*(_ask_again_and_again(path, request, until, answers) for _ in range(streams)))
    took, after = time.perf_counter() - began, _cpu_seconds(path)
    return Block(took, answers, {name: after[name] - before[name] for name in after})
