"""A supervisor in this process with real children: small stand-in services with habits."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import asynccontextmanager

import psutil
import pytest

from services.foundation.settings.tree import Logging
from services.supervisor.keeper import Policy
from services.supervisor.plan import ProcessSpec
from services.supervisor.supervisor import Supervisor
from tests.live import free_port

QUICK = Policy(
    start_timeout_seconds=10,
    stop_grace_seconds=2,
    poll_seconds=0.05,
    watch_seconds=0.1,
    probe_timeout_seconds=0.5,
    unresponsive_seconds=1,
    first_backoff_seconds=0.1,
    longest_backoff_seconds=0.2,
)
STAND_IN = """
import json, os, signal, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, habits = int(sys.argv[1]), sys.argv[2:]
print(f"stand-in {port} pid {os.getpid()} offline {os.environ['HF_HUB_OFFLINE']} extra {os.environ.get('EXTRA')}")
if "stubborn" in habits:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "parent" in habits:
    subprocess.Popen([sys.executable, "-c", "import signal,time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
if "failing" in habits:
    sys.exit("weights are missing")
if "misconfigured" in habits:
    print("Configuration error: nonsense")
    sys.exit(2)

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/exit":
            os._exit(0)
        if self.path == "/hang":
            os.kill(os.getpid(), signal.SIGSTOP)
        if self.path == "/begin-anew":
            habits.append("starting")
            threading.Timer(2, habits.remove, ["starting"]).start()
        status = "starting" if "starting" in habits else "degraded" if "degraded" in habits else "ok"
        body = json.dumps({"status": status, "detail": {"models": "one is missing"}}).encode()
        self.send_response(503 if status == "starting" else 200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""


class Recorder:
    """Remembers every change, and lets a test wait for one."""

    def __init__(self):
        self.statuses = []
        self.is_complete = False
        self.is_stopping = False
        self._news = asyncio.Event()

    def changed(self, status):
        self.statuses.append(status)
        self._news.set()

    def complete(self):
        self.is_complete = True
        self._news.set()

    def stopping(self):
        self.is_stopping = True
        self._news.set()

    def states(self, name):
        return [status.state for status in self.statuses if status.spec.name == name]

    def reason(self, name):
        return next(s.reason.render("en") for s in reversed(self.statuses) if s.spec.name == name and s.reason)

    async def until(self, is_so):
        async with asyncio.timeout(15):
            while not is_so():
                self._news.clear()
                await self._news.wait()


@pytest.fixture
def make(tmp_path):
    """Makes the spec of a stand-in service with the given habits."""
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN, encoding="utf-8")
    (tmp_path / "logs").mkdir()

    def spec(name, *habits, required=True, **fields):
        port = free_port()
        return ProcessSpec(
            name=name,
            command=fields.pop("command", (sys.executable, str(script), str(port), *habits)),
            host="127.0.0.1",
            port=port,
            health_url=f"http://127.0.0.1:{port}/healthz",
            required=required,
            description="a stand-in",
            port_setting="server.api.port",
            **fields,
        )

    return spec


@asynccontextmanager
async def running(plan, folder, policy=QUICK, kept=None, control=None):
    recorder = Recorder()
    supervisor = Supervisor(plan, policy, kept or Logging(folder=folder / "logs"), recorder, control)
    task = asyncio.create_task(supervisor.run())
    try:
        yield recorder, supervisor, task
    finally:
        supervisor.stop()
        await asyncio.gather(task, return_exceptions=True)
        assert children(plan) == []


def children(plan):
    """Processes on this machine that run a command of the plan."""
    commands = {spec.command for spec in plan}
    return [process for process in psutil.process_iter() if commandline(process) in commands]


def commandline(process):
    try:
        return tuple(process.cmdline()) if process.status() != psutil.STATUS_ZOMBIE else ()
    except psutil.NoSuchProcess:
        return ()


def get(spec, path):
    """Ask without waiting for an answer, as none may come."""
    with socket.create_connection((spec.host, spec.port), timeout=5) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())


def log_of(folder, name):
    return (folder / "logs" / f"{name}.log").read_text(encoding="utf-8")
