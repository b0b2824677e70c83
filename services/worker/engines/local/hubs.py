"""The hubs that models come from: the local cache of one, and downloads into model_dir. Called by `weights.py`."""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from services.foundation.errors import EngineFailed, InvalidSetting, MissingPackage
from services.worker.engines.base import EngineSpec

log = logging.getLogger(__name__)

_INCOMING = ".incoming"
_PACKAGES = {"huggingface": "huggingface_hub", "modelscope": "modelscope"}
_REPORT_SECONDS = 5.0
_REASON_LIMIT = 500
_TOTAL = re.compile(r"^total_bytes=(\d+)$", re.MULTILINE)


def cached_snapshot(ident: str) -> Path | None:
    """Where the local Hugging Face cache holds the model; no network is asked."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(ident, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def fetch(spec: EngineSpec, ident: str, *, with_code: bool) -> Path:
    """Download a model into model_dir; what an earlier attempt left is taken up again.

    Raises:
        InvalidSetting: the endpoint cannot be one.
        MissingPackage: the hub's package is not installed.
        EngineFailed: the hub did not give it.
    """
    source = spec.downloads.source
    if importlib.util.find_spec(_PACKAGES[source]) is None:
        raise MissingPackage(shelf="download source", name=source, package=_PACKAGES[source])
    target = spec.model_dir.joinpath(*ident.split("/"))
    incoming = spec.model_dir / _INCOMING / ident.replace("/", "--")
    incoming.mkdir(parents=True, exist_ok=True)
    with _alone(incoming.with_name(f"{incoming.name}.lock")):
        if target.is_dir() and any(target.iterdir()):
            return target  # another replica fetched it while this one waited
        incoming.mkdir(exist_ok=True)
        _download(spec, ident, incoming, with_code=with_code)
        shutil.rmtree(incoming / ".cache", ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        incoming.rename(target)
    log.info("%s: fetched into %s", ident, target)
    return target


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _download(spec: EngineSpec, ident: str, folder: Path, *, with_code: bool) -> None:
    """Have a child do it: this process stays offline."""
    source, endpoint = spec.downloads.source, spec.downloads.endpoint
    command = [sys.executable, "-m", "services.worker.engines.local.fetching", source, ident, str(folder.resolve())]
    command += ["--endpoint", endpoint] if endpoint else []
    command += ["--code"] if with_code else []
    log.info("%s: fetching from %s %s", ident, source, endpoint or "")
    output = folder.with_name(f"{folder.name}.log")
    environment = {**os.environ, **_online(spec)}  # noqa: TID251 - a child process is given its environment
    with output.open("w", encoding="utf-8") as written:
        child = subprocess.Popen(  # noqa: S603 - no shell; the id is a hub's id by its pattern
            command, stdin=subprocess.DEVNULL, stdout=written, stderr=written, env=environment
        )
        try:
            while not _ended(child):
                _report(ident, folder, output)
        finally:
            child.terminate()
            child.wait()
    if child.returncode != 0:
        lines = _read(output).strip().splitlines() or ["it does not say why"]
        reason = f"{ident} could not be fetched from {source}: {lines[-1][:_REASON_LIMIT]}"
        raise EngineFailed(model=spec.model, reason=reason)


def _online(spec: EngineSpec) -> Mapping[str, str]:
    """What lets the child out, to the hub alone."""
    added = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    endpoint = spec.downloads.endpoint
    if spec.downloads.source == "modelscope" and endpoint:
        if not endpoint.startswith("https://"):
            raise InvalidSetting(setting="models.downloads.endpoint", reason="ModelScope's address must be an https://")
        added["MODELSCOPE_DOMAIN"] = endpoint.removeprefix("https://").rstrip("/")
    return added


def _ended(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(timeout=_REPORT_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _report(ident: str, folder: Path, output: Path) -> None:
    here = sum(_size_bytes(file) for file in folder.rglob("*"))
    total = _TOTAL.search(_read(output))
    if total is None or total[1] == "0":
        log.info("%s: %.1f MB fetched", ident, here / 1e6)
    else:
        whole = int(total[1])
        log.info("%s: %.1f of %.1f MB fetched (%d %%)", ident, here / 1e6, whole / 1e6, 100 * here // whole)


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except FileNotFoundError:  # renamed meanwhile: it has arrived
        return 0


def _read(output: Path) -> str:
    return output.read_text(encoding="utf-8", errors="replace")
