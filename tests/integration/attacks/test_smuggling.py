"""T12: two requests that look like one. Straight at uvicorn, and through a real nginx in front of it."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from uvicorn import Config

from services.foundation.http import ServiceOptions, create_service_app, render_openai, use_openai_errors
from tests.integration.attacks.wire import get, send
from tests.live import free_port, serve

SECOND = b"GET /second HTTP/1.1\r\nHost: service.example\r\n\r\n"
_CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SECOND), SECOND)
_HIDDEN = b"0\r\n\r\n" + SECOND
_TE = b"Transfer-Encoding: chunked"


def post(*headers: bytes, body: bytes = b"", version: bytes = b"1.1", end: bytes = b"\r\n") -> bytes:
    lines = [b"POST /first HTTP/" + version, b"Host: service.example", *headers, b"", b""]
    return end.join(lines) + body


def length(number: int) -> bytes:
    return b"Content-Length: %d" % number


ATTACKS = {
    "CL.TE": post(length(len(_HIDDEN)), _TE, body=_HIDDEN),
    "CL.TE, short": post(length(5), _TE, body=_HIDDEN),
    "TE.CL": post(_TE, length(4), body=_CHUNK),
    "TE.CL, none": post(_TE, length(0), body=_CHUNK),
    "CL.CL": post(length(0), length(len(SECOND)), body=SECOND),
    "CL.CL, reversed": post(length(len(SECOND)), length(0), body=SECOND),
    "CL.CL, equal": post(length(0), length(0), body=SECOND),
    "CL in a list": post(b"Content-Length: 0, %d" % len(SECOND), body=SECOND),
    "CL with a sign": post(b"Content-Length: +0", body=SECOND),
    "CL below zero": post(length(-1), body=SECOND),
    "CL in hexadecimal": post(b"Content-Length: 0x0", body=SECOND),
    "CL too large to count": post(b"Content-Length: 18446744073709551616", body=SECOND),
    "CL without a number": post(b"Content-Length:", body=SECOND),
    "TE xchunked": post(b"Transfer-Encoding: xchunked", body=_HIDDEN),
    "TE xchunked beside CL": post(b"Transfer-Encoding: xchunked", length(0), body=SECOND),
    "TE identity": post(b"Transfer-Encoding: identity", length(0), body=SECOND),
    "TE chunked, identity": post(b"Transfer-Encoding: chunked, identity", body=_HIDDEN),
    "TE twice": post(_TE, b"Transfer-Encoding: identity", body=_HIDDEN),
    "TE before a colon": post(b"Transfer-Encoding : chunked", length(0), body=_HIDDEN),
    "TE after a tab": post(b"Transfer-Encoding:\tchunked", length(0), body=_HIDDEN),
    "TE after a vertical tab": post(b"Transfer-Encoding: \x0bchunked", length(0), body=_HIDDEN),
    "TE folded": post(b"Transfer-Encoding:\r\n chunked", length(0), body=_HIDDEN),
    "TE behind a bare LF": post(b"X: x\nTransfer-Encoding: chunked", length(len(_HIDDEN)), body=_HIDDEN),
    "TE behind a bare CR": post(b"X: x\rTransfer-Encoding: chunked", length(len(_HIDDEN)), body=_HIDDEN),
    "TE after NUL": post(b"Transfer-Encoding: \x00chunked", length(0), body=_HIDDEN),
    "chunk size 0x0": post(_TE, body=b"0x0\r\n\r\n" + SECOND),
    "chunk size with a sign": post(_TE, body=b"+0\r\n\r\n" + SECOND),
    "chunk size too large": post(_TE, body=b"10000000000000000\r\n\r\n" + SECOND),
    "chunk longer than said": post(_TE, body=b"1\r\nab\r\n" + _HIDDEN),
    "chunk extension behind a bare LF": post(_TE, body=b"1;\na\r\nx\r\n" + _HIDDEN),
}
CONFIGURATION = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream service {{ server 127.0.0.1:{backend}; keepalive 4; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_request_buffering {buffering};
        }}
    }}
}}
"""


@pytest.fixture
def served() -> list[str]:
    """The paths that were served, in order."""
    return []


@pytest.fixture
async def uvicorn_url(served: list[str]) -> AsyncIterator[str]:
    """A service as production serves it."""
    async with serve(recording(served)) as url:
        yield url


def recording(served: list[str]) -> FastAPI:
    app = create_service_app(ServiceOptions(name="trial", dialect=render_openai))
    use_openai_errors(app)

    @app.api_route("/{name}", methods=["GET", "POST"])
    async def any_path(name: str, body: Request) -> dict[str, str]:
        served.append(name)
        return {"path": name}

    return app


@asynccontextmanager
async def nginx(folder: Path, backend: str, buffering: str) -> AsyncIterator[str]:
    """A real nginx in front of `backend`, on a free port, as a plain process."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        pytest.skip("nginx is not installed")
    folder.mkdir()
    port = free_port()
    text = CONFIGURATION.format(folder=folder, backend=backend.rpartition(":")[2], port=port, buffering=buffering)
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    log = folder / "error.log"
    command = [program, "-p", str(folder), "-c", "nginx.conf", "-e", str(log)]
    process = subprocess.Popen([*command, "-g", "daemon off; master_process off;"], stderr=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(10):
            while not await _listens(port):
                assert process.poll() is None, log.read_text()
                await asyncio.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_these_tests_meet_the_parser_that_production_runs(served: list[str]):
    config = Config(recording(served))
    config.load()
    assert config.http_protocol_class.__name__ == "HttpToolsProtocol"


async def test_two_honest_requests_are_both_served(uvicorn_url: str, served: list[str], tmp_path: Path):
    """Else the tests below would pass over a server that serves no second request at all."""
    both = post(length(0)) + get("/second")
    assert (await send(uvicorn_url, both)).statuses == (200, 200)
    async with nginx(tmp_path / "nginx", uvicorn_url, "on") as front:
        assert (await send(front, both)).statuses == (200, 200)
        assert (await send(front, post(_TE, body=b"2\r\nab\r\n0\r\n\r\n") + get("/second"))).statuses == (200, 200)
    assert served == ["first", "second"] * 3


async def test_straight_at_uvicorn_the_second_request_is_never_served(uvicorn_url: str, served: list[str]):
    for name, request in ATTACKS.items():
        reply = await send(uvicorn_url, request, silence_seconds=1.0)
        assert "second" not in served, name
        assert reply.status == 400, (name, reply.raw)
        assert reply.closed, (name, reply.raw)


async def test_an_upgrade_that_is_not_spoken_swallows_what_follows(uvicorn_url: str, served: list[str]):
    upgrade = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
    await send(uvicorn_url, post(*upgrade, length(0), body=SECOND), silence_seconds=0.5)
    assert "second" not in served


@pytest.mark.parametrize("buffering", ["on", "off"])
async def test_through_nginx_the_second_request_is_never_served(
    uvicorn_url: str, served: list[str], tmp_path: Path, buffering: str
):
    async with nginx(tmp_path / "nginx", uvicorn_url, buffering) as front:
        for name, request in ATTACKS.items():
            reply = await send(front, request, silence_seconds=1.0)
            assert "second" not in served, name
            assert reply.status in {400, 413, 501}, (name, reply.raw)
            assert reply.closed, (name, reply.raw)
            innocent = await send(front, get("/innocent"))
            assert innocent.statuses == (200,), (name, innocent.raw)
            assert innocent.raw.endswith(b'{"path":"innocent"}'), (name, innocent.raw)
    assert set(served) <= {"first", "innocent"}
