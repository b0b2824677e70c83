"""Real workers with real vLLM (the CPU build) under our controller and gateway: what test_vllm.py stands on.

One worker serves a tiny chat model, one a tiny BERT; they start side by side, once for the whole file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest
import yaml

from services.controller.app import create_app as create_controller
from services.foundation.settings.tree import Endpoint, Models, Server, Settings
from services.gateway.app import create_app as create_gateway
from tests.live import free_port, serve
from tests.tiny_models import CONTEXT_TOKENS, make_chat_model, make_embedding_model

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
CHAT, EMBEDDER = "tiny-chat", "tiny-bert"
PROFILE = yaml.safe_load((ROOT / "configs" / "models.yaml").read_text(encoding="utf-8"))["profiles"]["cpu"]

needs_vllm = pytest.mark.skipif(not PYTHON.is_file(), reason=f"{PYTHON} is absent: run make vllm")


@dataclass
class Processes:
    """What was started, and where its output lies."""

    folder: Path
    controller: str
    workers: dict[str, subprocess.Popen[bytes]]

    def log(self, model: str) -> str:
        return (self.folder / f"{model}.log").read_text(encoding="utf-8", errors="replace")

    def server(self, model: str) -> psutil.Process:
        """vLLM's API server."""
        (found,) = psutil.Process(self.workers[model].pid).children()
        return found

    def engine(self, model: str) -> psutil.Process:
        """vLLM's EngineCore."""
        (found,) = [child for child in self.server(model).children() if "EngineCore" in " ".join(child.cmdline())]
        return found

    def family(self, model: str) -> list[psutil.Process]:
        worker = psutil.Process(self.workers[model].pid)
        return [worker, *worker.children(recursive=True)]


def served(folder: Path) -> dict[str, Any]:
    """Two models on vLLM, with the shipped profile for CPUs."""
    small = {"kv_cache_memory_bytes": "256M", "python": str(PYTHON)}
    return {
        CHAT: {
            "task": "chat",
            "engine": "vllm",
            "context_tokens": CONTEXT_TOKENS,
            "options": {"path": str(make_chat_model(folder / "chat")), "tool_call_parser": "hermes", **small},
        },
        EMBEDDER: {
            "task": "embedding",
            "engine": "vllm",
            "context_tokens": 256,
            "options": {"path": str(make_embedding_model(folder / "bert")), "query_instruction": "query: ", **small},
        },
    }


def start_worker(folder: Path, model: str, controller: str) -> subprocess.Popen[bytes]:
    flags = ("--models", model, "--port", str(free_port()), "--controller", controller)
    with (folder / f"{model}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "services.worker", *flags],
            cwd=ROOT,
            env={**os.environ, "CHATCHAT_CONFIG_DIR": str(folder)},  # noqa: TID251
            stdout=log,
            stderr=log,
        )


def write_settings(folder: Path, models: dict[str, Any]) -> None:
    written = {"default_chat": CHAT, "default_embedding": EMBEDDER, "served": models}
    (folder / "models.yaml").write_text(json.dumps({**written, "profile": "cpu", "profiles": {"cpu": PROFILE}}))
    (folder / "server.yaml").write_text(json.dumps({"heartbeat_seconds": 0.2, "canary_seconds": 5}))


class LiveController:
    """Our controller in a thread of its own, as long as the file's tests last: they each have an event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self.url = ""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        assert self._ready.wait(20)
        return self.url

    def __exit__(self, *_: object) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        port = free_port()
        async with serve(create_controller(Server(controller=Endpoint(port=port))), port) as url:
            self.url = url
            self._ready.set()
            await self._stop.wait()


@contextlib.contextmanager
def processes(folder: Path) -> Iterator[Processes]:
    models = served(folder)
    write_settings(folder, models)
    with LiveController() as controller:
        started = Processes(folder, controller, {})
        try:
            for model in models:
                started.workers[model] = start_worker(folder, model, controller)
            wait_until_listed(started, set(models), 300)
            yield started
        finally:
            end(started)


def wait_until_listed(started: Processes, models: set[str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while set(httpx.post(f"{started.controller}/list_models", trust_env=False).json()["models"]) != models:
        for model, worker in started.workers.items():
            assert worker.poll() is None, started.log(model)
        assert time.monotonic() < deadline, "\n".join(started.log(model)[-3000:] for model in started.workers)
        time.sleep(0.2)


def end(started: Processes) -> None:
    left = [process for model in started.workers for process in family_of(started, model)]
    for worker in started.workers.values():
        worker.send_signal(signal.SIGTERM)
    for worker in started.workers.values():
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(15)
        worker.kill()
        worker.wait()
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def family_of(started: Processes, model: str) -> list[psutil.Process]:
    try:
        return started.family(model)
    except psutil.NoSuchProcess:
        return []


@asynccontextmanager
async def gateway(started: Processes) -> AsyncIterator[openai.AsyncOpenAI]:
    """Our gateway in front of the workers, and OpenAI's own client for it."""
    endpoint = Endpoint(port=1, public_url=started.controller)
    settings = Settings(server=Server(controller=endpoint), models=Models(served={}))
    async with (
        serve(create_gateway(settings)) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60) as client,
    ):
        yield client


async def address(started: Processes, model: str) -> str:
    """Where vLLM's own server listens, as the controller knows it."""
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{started.controller}/get_worker_address", json={"model": model})
        found: str = answer.json()["address"]
        return found


async def gauge(started: Processes, name: str) -> float:
    """One of vLLM's own figures."""
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"{await address(started, CHAT)}/metrics")).text
    (line,) = [line for line in text.splitlines() if line.startswith(f"vllm:{name}{{")]
    return float(line.rsplit(" ", 1)[1])


async def until(fact: Callable[[], Awaitable[bool]], seconds: float, pause_seconds: float = 0.02) -> float:
    """How long it took to become a fact."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not await fact():
            await asyncio.sleep(pause_seconds)
    return time.monotonic() - began
