"""The worker as a process: `python -m services.worker`, its flags, signals and exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import openai
import pytest

from tests.integration.worker_probe import queue_length, said, until
from tests.live import free_port

ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def process(folder: Path, served: object, *flags: str) -> AsyncIterator[tuple[subprocess.Popen[str], str]]:
    """`python -m services.worker` with settings of its own."""
    models = {"default_chat": "talk", "default_embedding": "vectors", "model_dir": str(folder), "served": served}
    (folder / "models.yaml").write_text(json.dumps(models))
    port = free_port()
    running = subprocess.Popen(
        [sys.executable, "-m", "services.worker", "--port", str(port), "--controller", "http://127.0.0.1:9", *flags],
        cwd=ROOT,
        env={**os.environ, "CHATCHAT_CONFIG_DIR": str(folder)},  # noqa: TID251
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield running, f"http://127.0.0.1:{port}"
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate()


SERVED = {
    "talk": {"task": "chat", "engine": "echo"},
    "vectors": {"task": "embedding", "engine": "sentence_transformers", "options": {"path": "no-such-model"}},
}


async def is_ready(url: str) -> bool:
    async with httpx.AsyncClient(trust_env=False) as http:
        try:
            return (await http.get(f"{url}/healthz")).status_code == 200
        except httpx.ConnectError:
            return False


async def test_as_a_process(tmp_path: Path):
    async with process(tmp_path, SERVED, "--models", "talk", "--name", "worker-talk") as (running, url):
        await until(lambda: is_ready(url), 30.0)
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
            answer = await client.chat.completions.create(model="talk", messages=said("hello"))
        running.send_signal(signal.SIGTERM)
        _, log = await asyncio.to_thread(running.communicate, timeout=5)

    assert answer.choices[0].message.content == "hello"
    assert running.returncode in {0, -signal.SIGTERM}
    assert "worker-talk" in log
    assert log.count("the controller is lost") == 1, "said once, though it is never found"


async def test_a_process_that_ends_although_a_stream_is_open(tmp_path: Path):
    served = {**SERVED, "talk": {"task": "chat", "engine": "echo", "options": {"delay_seconds": 60}}}
    async with process(tmp_path, served, "--models", "talk") as (running, url):
        await until(lambda: is_ready(url), 30.0)
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            body = {"model": "talk", "messages": said("a b c"), "stream": True}
            stream = asyncio.create_task(http.post(f"{url}/v1/chat/completions", json=body))
            whole = asyncio.create_task(http.post(f"{url}/v1/chat/completions", json={**body, "stream": False}))

            async def works() -> bool:
                return await queue_length(url) == 2

            await until(works, 5.0)
            began = time.monotonic()
            running.send_signal(signal.SIGTERM)
            await asyncio.to_thread(running.wait, 8)
            await asyncio.gather(stream, whole, return_exceptions=True)

    assert time.monotonic() - began < 5.0


async def test_a_process_without_any_model_leaves_with_three(tmp_path: Path):
    async with process(tmp_path, SERVED, "--models", "vectors") as (running, _):
        _, log = await asyncio.to_thread(running.communicate, timeout=30)

    assert running.returncode == 3
    assert "no model could be started" in log
    assert "there is no model 'no-such-model'" in log


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [(["--models", "absent"], "Known models: talk, vectors"), (["--models"], "expected at least one argument")],
)
async def test_a_process_with_a_wrong_flag_leaves_with_two(tmp_path: Path, flags: list[str], sentence: str):
    async with process(tmp_path, SERVED, *flags) as (running, _):
        _, log = await asyncio.to_thread(running.communicate, timeout=30)

    assert running.returncode == 2
    assert sentence in log
