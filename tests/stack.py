"""The real stack as a child process on free loopback ports, with folders of its own. For e2e tests and benches."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tests.live import free_port, free_run

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "knowledge_base" / "samples" / "content"


@dataclass
class Stack:
    """One running stack. Use it as a context manager; everything it started is gone afterwards."""

    folder: Path
    flags: tuple[str, ...] = ("-a",)
    environment: dict[str, str] = field(default_factory=dict)
    ready_limit_seconds: float = 120.0
    with_samples: bool = False
    webui: bool = True
    api_wanted: bool = True
    expects: tuple[str, ...] = ("extractive", "all-minilm-l6-v2")
    workers: int = 3

    def __post_init__(self) -> None:
        self.ports = {
            name: free_port()
            for name in ("controller", "gateway", "api", "webui", "supervisor", "milvus", "milvus_health", "ingest")
        }
        self.ports["worker"] = free_run(self.workers)  # one for each worker, counted up
        self.data_dir = self.folder / "knowledge_base"
        self.log_dir = self.folder / "logs"
        self.output = self.folder / "startup.out"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.ports['api']}"

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{self.ports['gateway']}"

    @property
    def webui_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['webui']}"

    def variables(self) -> dict[str, str]:
        """The environment that points every process at this stack's ports and folders."""
        named = {
            **{f"CHATCHAT_SERVER__{name.upper()}__PORT": str(port) for name, port in self.ports.items()},
            "CHATCHAT_SERVER__DATA_DIR": str(self.data_dir),
            "CHATCHAT_SERVER__LOGGING__FOLDER": str(self.log_dir),
            **self.environment,
        }
        return {**os.environ, **named}  # noqa: TID251

    def start(self) -> float:
        """Start and wait until every service is ready; returns the seconds that took."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if self.with_samples:
            shutil.copytree(SAMPLES, self.data_dir / "samples" / "content", dirs_exist_ok=True)
            self.run("init_database.py", "--increment", "--kb-name", "samples")
        began = time.monotonic()
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "startup.py", *self.flags],
                cwd=ROOT,
                env=self.variables(),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.wait_ready()
        return time.monotonic() - began

    def run(self, *command: str) -> str:
        """Run one of the root scripts against this stack's folders; returns what it printed."""
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=self.variables(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}: {done.stdout}\n{done.stderr}")
        return done.stdout

    def wait_ready(self) -> None:
        """Until controller, gateway, api, web UI and the expected models answer."""
        limit = time.monotonic() + self.ready_limit_seconds
        while not self.is_ready():
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"startup.py ended with {self.process.returncode}:\n{self.output.read_text()}")
            if time.monotonic() > limit:
                raise AssertionError(f"not ready after {self.ready_limit_seconds} s:\n{self.output.read_text()}")
            time.sleep(0.1)

    def is_ready(self) -> bool:
        health = [f"{self.gateway}/healthz"]
        if self.api_wanted:
            ports = [self.ports[name] for name in ("api", "ingest", "milvus_health")]
            health += [f"http://127.0.0.1:{port}/healthz" for port in ports]
        if self.webui:
            health.append(f"{self.webui_url}/_stcore/health")
        try:
            with httpx.Client(trust_env=False, timeout=5) as client:
                if any(client.get(url).status_code != 200 for url in health):
                    return False
                served = {card["id"] for card in client.get(f"{self.gateway}/v1/models").json().get("data", [])}
        except httpx.HTTPError:
            return False
        return set(self.expects) <= served

    def processes(self) -> dict[str, psutil.Process]:
        """The living processes of the stack by a short name: supervisor, controller, gateway, api, webui, worker-…"""
        if self.process is None:
            return {}
        found = {"supervisor": psutil.Process(self.process.pid)}
        for child in found["supervisor"].children(recursive=True):
            with contextlib.suppress(psutil.Error):
                found[_short_name(child.cmdline(), child.pid)] = child
        return found

    def stop(self) -> float:
        """SIGTERM to the supervisor; returns the seconds until everything was gone."""
        if self.process is None or self.process.poll() is not None:
            return 0.0
        family = list(self.processes().values())
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)
        _, alive = psutil.wait_procs(family, timeout=10)
        took = time.monotonic() - began
        for orphan in alive:
            orphan.kill()
        if alive:
            raise AssertionError(f"left behind: {alive}")
        return took

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _short_name(command: list[str], pid: int) -> str:
    if "--name" in command:  # a worker is told its own
        return command[command.index("--name") + 1]
    line = " ".join(command)
    if "services.api.knowledge.parsing.child" in command:
        return f"reader-{pid}"
    for role in ("milvus", "ingest"):
        if "services.api" in command and role in command:
            return role
    known = {"services.controller": "controller", "services.gateway": "gateway", "services.api": "api"}
    known |= {"streamlit": "webui", "services.supervisor.guard": "guard", "guard.py": "guard"}
    return next((name for part, name in known.items() if part in line), f"other-{pid}")
