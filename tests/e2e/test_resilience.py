"""Death and departure: killed processes come back, departed readers stop their engine, nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.asking import ask
from tests.e2e.conftest import SLOW, upload
from tests.stack import ROOT, Stack

BACK_SECONDS = 15.0
STOPPED_SECONDS = 1.0


def queue_length(stack: Stack, model: str) -> int:
    """Requests that the worker of `model` is working on, as it says itself."""
    with httpx.Client(trust_env=False, timeout=5) as client:
        leases = client.get(f"http://127.0.0.1:{stack.ports['controller']}/leases").json()["leases"]
        address = next(lease["worker"] for lease in leases if model in lease["status"]["model_names"])
        length: int = client.post(f"{address}/worker_get_status").json()["queue_length"]
        return length


def wait_until(condition: Callable[[], bool], limit_seconds: float) -> float:
    """Seconds until the condition held; fails when it did not within the limit."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit_seconds, f"not within {limit_seconds} s"
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_departed_reader_stops_the_generation(stack: Stack, api: httpx.Client) -> None:
    body = {"query": "word " * 300, "model_name": SLOW, "stream": True}
    with api.stream("POST", "/chat/chat", json=body) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert queue_length(stack, SLOW) == 1
    wait_until(lambda: queue_length(stack, SLOW) == 0, STOPPED_SECONDS)


@pytest.mark.parametrize(
    "name",
    ["worker-all-minilm-l6-v2", "worker-extractive", "gateway", "api", "ingest", "milvus", "controller", "webui"],
)
def test_a_killed_process_is_back_and_uploads_are_still_there(
    stack: Stack, api, make_base, tmp_path, name: str
) -> None:
    base = make_base(f"before {name}")
    kept = tmp_path / "kept.txt"
    kept.write_text("The ferry to Skagen leaves at 06:45 every morning.")
    assert upload(api, base, kept) == {}
    victim = stack.processes()[name]
    victim.send_signal(signal.SIGKILL)
    psutil.wait_procs([victim], timeout=5)
    wait_until(lambda: answers(stack, base), BACK_SECONDS)


def answers(stack: Stack, base: str) -> bool:
    """Whether the whole stack is ready and the acknowledged upload is found and answered from."""
    if not stack.is_ready():
        return False
    with httpx.Client(base_url=stack.api, trust_env=False, timeout=10) as client:
        try:
            return "06:45" in ask(client, base, "When does the ferry to Skagen leave?")["answer"]
        except (AssertionError, KeyError, httpx.HTTPError):
            return False


@pytest.fixture
def own_stack(tmp_path: Path):
    """A stack of this test's own, for tests that end it."""
    running = Stack(tmp_path)
    running.start()
    yield running
    running.stop()


def test_sigterm_takes_everything_down(own_stack: Stack) -> None:
    family = own_stack.processes()
    assert {"supervisor", "controller", "gateway", "api", "ingest", "milvus", "webui"} <= set(family)
    assert own_stack.stop() <= 10
    assert not [name for name, process in family.items() if process.is_running()]


def test_a_killed_supervisor_leaves_no_orphan(own_stack: Stack) -> None:
    family = list(own_stack.processes().values())
    assert own_stack.process is not None
    os.kill(own_stack.process.pid, signal.SIGKILL)
    own_stack.process.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


def test_a_port_in_use_is_named_with_its_remedy(stack: Stack, tmp_path: Path) -> None:
    other = Stack(tmp_path)
    other.ports["api"] = stack.ports["api"]
    done = subprocess.run(
        [sys.executable, "startup.py", "-a"],
        cwd=ROOT,
        env=other.variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert str(stack.ports["api"]) in done.stdout + done.stderr
    assert "server.api.port" in done.stdout + done.stderr
