"""Weights from a hub: a small hub of our own on loopback, asked by huggingface_hub itself; and from its local cache."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from services.foundation.errors import EngineFailed, InvalidSetting
from services.foundation.settings.models import Downloads
from services.worker.engines.base import EngineSpec
from services.worker.engines.local.weights import find_weights
from tests.architecture.sources import ROOT
from tests.contract.engine import spec
from tests.unit.worker.test_weights import make_model

IDENT = "tiny-maker/tiny-chat"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What it serves, and what it was asked for. With `whole_only` it fails on every other file."""

    files: dict[str, bytes]
    url: str = ""
    fetched: list[str] = field(default_factory=list)
    whole_only: str = ""

    def listing(self, path: str) -> bytes | None:
        """The answer of the hub's API; None: there is none."""
        if path == f"/api/models/{IDENT}/revision/main":
            siblings = [{"rfilename": name} for name in self.files]
            return json.dumps({"id": IDENT, "sha": COMMIT, "siblings": siblings}).encode()
        if path == f"/api/models/{IDENT}/tree/{COMMIT}":
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": tag(content)}
                for name, content in self.files.items()
            ]
            return json.dumps(tree).encode()
        return None

    def file(self, path: str) -> bytes | None:
        """The content of a file; None: there is none."""
        return self.files.get(path.removeprefix(f"/{IDENT}/resolve/{COMMIT}/"))


def tag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()  # noqa: S324 - as git names a file


def answering(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            path = unquote(urlsplit(self.path).path)
            content = hub.file(path)
            self._send(200 if content is not None else 404, content or b"", with_body=False)

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            listing, content = hub.listing(path), hub.file(path)
            if content is not None:
                hub.fetched.append(path.rpartition("/")[2])
                is_broken = bool(hub.whole_only) and not path.endswith(hub.whole_only)
                self._send(503 if is_broken else 200, content)
            else:
                self._send(404 if listing is None else 200, listing or b"")

        def _send(self, status: int, body: bytes, *, with_body: bool = True) -> None:
            self.send_response(status)
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("ETag", f'"{tag(body)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Answering


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = make_model(tmp_path / "upstream")
    (made / "pytorch_model.bin").write_bytes(b"a pickle")
    (made / "modeling.py").write_text("raise SystemExit")
    hub = Hub({file.name: file.read_bytes() for file in made.iterdir()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), answering(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


def online(hub: Hub, tmp_path: Path) -> EngineSpec:
    return replace(spec(), model_dir=tmp_path / "model", downloads=Downloads(source="huggingface", endpoint=hub.url))


@pytest.mark.enable_socket
def test_a_model_is_fetched_once_without_code_and_pickles(hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    asking = online(hub, tmp_path)
    caplog.set_level(logging.INFO)

    first = find_weights(asking, IDENT)
    fetched = sorted(hub.fetched)
    second = find_weights(asking, IDENT)

    assert first == second == tmp_path / "model" / IDENT
    assert sorted(file.name for file in first.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert fetched == sorted(hub.fetched) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert f"{IDENT}: fetched into" in caplog.text


@pytest.mark.enable_socket
def test_what_an_attempt_left_is_taken_up_by_the_next(hub: Hub, tmp_path: Path):
    asking = online(hub, tmp_path)
    hub.whole_only = "config.json"
    with pytest.raises(EngineFailed, match="could not be fetched from huggingface"):
        find_weights(asking, IDENT)
    assert not (tmp_path / "model" / IDENT).exists()
    hub.whole_only = ""
    hub.fetched.clear()

    find_weights(asking, IDENT)

    assert "config.json" not in hub.fetched
    assert "model.safetensors" in hub.fetched


@pytest.mark.enable_socket
def test_a_model_the_hub_does_not_know_is_named(hub: Hub, tmp_path: Path):
    with pytest.raises(EngineFailed, match="nobody/nothing"):
        find_weights(online(hub, tmp_path), "nobody/nothing")


@pytest.mark.enable_socket
def test_what_was_fetched_is_judged_like_everything_else(hub: Hub, tmp_path: Path):
    hub.files["config.json"] = b'{"auto_map": {"AutoModel": "modeling.Evil"}}'

    with pytest.raises(InvalidSetting, match="auto_map"):
        find_weights(online(hub, tmp_path), IDENT)


def test_modelscopes_address_must_be_one(tmp_path: Path):
    from services.worker.engines.local.hubs import _online

    mirror = Downloads(source="modelscope", endpoint="https://mirror.local/")

    assert _online(replace(spec(), downloads=mirror))["MODELSCOPE_DOMAIN"] == "mirror.local"
    with pytest.raises(InvalidSetting, match="https"):
        _online(replace(spec(), downloads=Downloads(source="modelscope", endpoint="http://mirror.local")))


def test_the_local_cache_is_looked_into(tmp_path: Path):
    """In a process of its own: huggingface_hub reads where its cache lies when it is imported."""
    repository = tmp_path / "hub" / f"models--{IDENT.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    snapshot = make_model(repository / "snapshots" / COMMIT)
    script = (
        "from pathlib import Path; from dataclasses import replace; from tests.contract.engine import spec\n"
        "from services.worker.engines.local.weights import find_weights\n"
        f"print(find_weights(replace(spec(), model_dir=Path({str(tmp_path)!r}) / 'model'), {IDENT!r}))"
    )
    environment = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}

    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.stdout.strip(), done.returncode) == (str(snapshot), 0), done.stderr
