"""Raw bytes to a port and what comes back: requests no HTTP client would send."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")


@dataclass(frozen=True)
class Reply:
    """Everything that came until the server closed or fell silent.

    Attributes:
        statuses: of every response in it.
        closed: whether the server closed the connection.
    """

    raw: bytes
    statuses: tuple[int, ...]
    closed: bool

    @property
    def status(self) -> int:
        """Of the only response."""
        assert len(self.statuses) == 1, self.raw
        return self.statuses[0]

    def header(self, name: str) -> str | None:
        found = re.search(rb"(?mi)^" + name.encode() + rb":[ \t]*(.*?)\r?$", self.raw.partition(b"\r\n\r\n")[0])
        return found.group(1).decode("latin-1") if found else None


async def send(url: str, request: bytes, *, silence_seconds: float = 5.0) -> Reply:
    """Write `request` to the server at `url` and read until it closes, or says nothing for a while."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    pieces, closed = [], False
    try:
        writer.write(request)
        await writer.drain()
        while piece := await asyncio.wait_for(reader.read(65536), silence_seconds):
            pieces.append(piece)
        closed = True
    except ConnectionError:
        closed = True
    except TimeoutError:
        pass
    finally:
        writer.close()
    raw = b"".join(pieces)
    return Reply(raw, tuple(int(found) for found in _STATUS.findall(raw)), closed)


def get(path: str | bytes, *headers: str | bytes, host: str | None = "service.example", version: str = "1.1") -> bytes:
    """A GET whose pieces are taken as they are; the server is asked to close after it."""
    lines = [b"GET " + _bytes(path) + f" HTTP/{version}".encode()]
    if host is not None:
        lines.append(b"Host: " + _bytes(host))
    return b"\r\n".join([*lines, *map(_bytes, headers), b"Connection: close", b"", b""])


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
