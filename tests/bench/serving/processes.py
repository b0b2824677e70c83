"""The real processes of the serving plane on free ports, with settings in a folder of their own. For benches."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.live import free_port
from tests.stack import ROOT

_READY_SECONDS = 180.0


@dataclass
class Plane:
    """Controller, gateway and workers as processes; `served` is the branch of models.yaml."""

    folder: Path
    served: dict[str, object]
    server: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ports = {name: free_port() for name in ("controller", "gateway")}
        self.pids: dict[str, int] = {}
        served = {**self.served, "unused": {"task": "embedding", "engine": "echo"}}
        models = {"default_chat": next(iter(self.served)), "default_embedding": "unused", "served": served}
        server = {name: {"port": port} for name, port in self.ports.items()}
        (self.folder / "models.yaml").write_text(json.dumps(models))
        (self.folder / "server.yaml").write_text(json.dumps({**server, **self.server}))

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Plane]:
        """Start everything, wait until the gateway lists every model, and end it all."""
        with contextlib.ExitStack() as started:
            for name in ("controller", "gateway"):
                started.enter_context(self._process(name, [f"services.{name}"]))
            for model in self.served:
                self.ports[model] = free_port()
                flags = ["--models", model, "--port", str(self.ports[model])]
                started.enter_context(self._process(model, ["services.worker", *flags]))
            self._wait()
            yield self

    @contextlib.contextmanager
    def second_gateway(self, checkout: Path) -> Iterator[str]:
        """A gateway of another checkout before the same workers; yields its name in `ports` and `pids`."""
        name = "other gateway"
        self.ports[name] = free_port()
        port = {"CHATCHAT_SERVER__GATEWAY__PORT": str(self.ports[name])}
        with self._process(name, ["services.gateway"], checkout=checkout, environment=port):
            self._wait(name)
            yield name

    @contextlib.contextmanager
    def _process(
        self, name: str, command: Sequence[str], *, checkout: Path = ROOT, environment: Mapping[str, str] | None = None
    ) -> Iterator[None]:
        settings = {"CHATCHAT_CONFIG_DIR": str(self.folder), **(environment or {})}
        inherited = dict(os.environ)  # noqa: TID251 - for the child
        with (self.folder / f"{name}.log").open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=checkout,
                env=inherited | settings,
                stdout=output,
                stderr=output,
            )
        self.pids[name] = child.pid
        try:
            yield
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _wait(self, gateway: str = "gateway") -> None:
        limit = time.monotonic() + _READY_SECONDS
        while time.monotonic() < limit:
            with contextlib.suppress(httpx.HTTPError):
                listed = httpx.get(f"{self.url(gateway)}/v1/models", trust_env=False).json()
                if set(self.served) <= {card["id"] for card in listed.get("data", [])}:
                    return
            time.sleep(0.1)
        logs = "\n".join(log.read_text() for log in self.folder.glob("*.log"))
        raise AssertionError(f"the gateway does not list {list(self.served)}:\n{logs}")
