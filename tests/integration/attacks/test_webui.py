"""T13 and T17 at the web UI's own port: Streamlit sends nobody away and serves nothing but its own files."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.attacks.test_hosts import AWAY
from tests.integration.attacks.wire import get, send
from tests.live import free_port

ROOT = Path(__file__).resolve().parents[3]
TRAVERSALS = [
    "/static/../../../../../../etc/passwd",
    "/static/..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
    "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/static//etc/passwd",
    "/static/..%5c..%5cetc%5cpasswd",
    "/static/C:%5cetc%5cpasswd",
    "/app/static/../../configs/server.yaml",
    "/app/static/..%2f..%2fconfigs/server.yaml",
    "/component/../../configs/server.yaml",
    "/component/x/..%2f..%2f..%2fetc/passwd",
    "/media/../../../etc/passwd",
    "/_stcore/../../etc/passwd",
    "/configs/server.yaml",
    "/webui/app.py",
]


@pytest.fixture
async def webui(tmp_path: Path) -> AsyncIterator[str]:
    port = free_port()
    flags = ["--server.address", "127.0.0.1", "--server.port", str(port), "--server.headless", "true"]
    command = [sys.executable, "-m", "streamlit", "run", "webui/app.py", *flags]
    with (tmp_path / "webui.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(60):
            while not await _answers(url):
                assert process.poll() is None, (tmp_path / "webui.log").read_text()
                await asyncio.sleep(0.1)
        yield url
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


async def _answers(url: str) -> bool:
    with suppress(OSError):
        return (await send(url, get("/_stcore/health"))).statuses == (200,)
    return False


async def test_the_web_ui_sends_nobody_away_and_serves_no_file_but_its_own(webui: str):
    for path in AWAY:
        for host in ("service.example", "evil.example"):
            reply = await send(webui, get(path, host=host))
            where = reply.header("location") or "/"
            assert reply.status < 500, (path, reply.raw)
            assert where.startswith("/"), (path, where)
            assert not where.startswith(("//", "/\\")), (path, where)
    for path in TRAVERSALS:
        reply = await send(webui, get(path))
        assert reply.status < 500, (path, reply.raw)
        assert b"root:" not in reply.raw, path
        assert b"access_keys" not in reply.raw, path
        assert b"import streamlit" not in reply.raw, path
