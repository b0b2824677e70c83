"""Files into a running stack as a client that does not wait puts them there, and what the stack's processes take."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from tests.bench.ingestion.uploading import repeatedly
from tests.stack import ROOT, Stack

_HWM = re.compile(r"VmHWM:\s+(\d+) kB")
_READER = "services.api.knowledge.parsing.child"
_FILES_PER_REQUEST = 20
EMBEDDER = "all-minilm-l6-v2"
_WINDOW_TOKENS = 256


class Client:
    """One base of a running stack; files are sent without waiting and looked after by asking for the list."""

    def __init__(self, api: str, base: str, **asked: object) -> None:
        self.base = base
        self.http = httpx.Client(base_url=api, timeout=600.0, trust_env=False, headers={"accept-language": "en"})
        body = {"knowledge_base_name": base, **asked}
        answer = self.http.post("/knowledge_base/create_knowledge_base", json=body).json()
        assert answer["code"] == 200, answer

    def send(self, paths: Sequence[Path], **form: object) -> None:
        """Upload files, some at a time; returns when they are stored."""
        fields = {"knowledge_base_name": self.base, "override": "true", "wait": "false", **form}
        for start in range(0, len(paths), _FILES_PER_REQUEST):
            files = [("files", (path.name, path.read_bytes())) for path in paths[start : start + _FILES_PER_REQUEST]]
            answer = self.http.post("/knowledge_base/upload_docs", data=fields, files=files).json()
            assert answer["code"] == 200, answer
            assert not answer["data"]["failed_files"], answer

    def files(self) -> list[dict[str, Any]]:
        """The list, as the web UI asks for it."""
        answer = self.http.get("/knowledge_base/files", params={"knowledge_base_name": self.base})
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    def settled(self, *, seconds: float, every: float = 0.25) -> list[dict[str, Any]]:
        """The list once nothing is pending; every file must have been indexed."""
        limit = time.monotonic() + seconds
        while True:
            files = self.files()
            left = sum(file["state"] == "pending" for file in files)
            if not left:
                break
            assert time.monotonic() < limit, f"{left} of {len(files)} files are still pending after {seconds:.0f} s"
            time.sleep(every)
        failed = {file["name"]: file["failure"] for file in files if file["state"] != "indexed"}
        assert not failed, failed
        return files

    def move(self, api: str) -> None:
        """Speak to the base at another address: the stack was started again."""
        self.http.base_url = httpx.URL(api)

    def indexed(self, paths: Sequence[Path], *, seconds: float = 900.0, every: float = 0.5) -> float:
        """Send files and wait until all are searchable; the seconds from the first byte on."""
        began = time.perf_counter()
        self.send(paths)
        self.settled(seconds=seconds, every=every)
        return time.perf_counter() - began


@dataclass
class Peaks:
    """The most resident memory (VmHWM) each Python process of a stack has had, in MB, by what it is."""

    megabytes: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def watched(self, stack: Stack) -> Iterator[None]:
        """Look five times a second while the block runs. The mark is the kernel's, so nothing between is missed."""
        assert stack.process is not None
        root = psutil.Process(stack.process.pid)
        try:
            with repeatedly(lambda: self._look(root), every=0.2):
                yield
        finally:
            self._look(root)

    def _look(self, root: psutil.Process) -> None:
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error, OSError):
                told = _HWM.search(Path(f"/proc/{process.pid}/status").read_text(encoding="ascii"))
                name = process_name(process.cmdline())
                if told and name:
                    self.megabytes[name] = max(self.megabytes.get(name, 0.0), int(told[1]) * 1024 / 1e6)

    def rows(self) -> list[tuple[str, str]]:
        """One line a kind of process, the largest first."""
        ranked = sorted(self.megabytes.items(), key=lambda item: -item[1])
        return [(name, f"{megabytes:.0f}") for name, megabytes in ranked]


def process_name(words: Sequence[str]) -> str:
    """What a process of the stack is, by its command line: the module it runs, or the worker's name; "" if unknown."""
    if "--name" in words:
        return f"worker {words[words.index('--name') + 1]}"
    if _READER in words:
        return "reader of files"
    if "-m" in words:
        module, *behind = words[words.index("-m") + 1 :]
        name = module.removeprefix("services.")
        return f"{name} {behind[0]}" if behind and not behind[0].startswith("-") else name
    script = next((word for word in words if word.endswith(".py")), "")
    return Path(script).stem if script else ""


def cpu_seconds(stack: Stack) -> dict[str, float]:
    """Processor time each living process of the stack has used, by what it is; for where the time goes."""
    assert stack.process is not None
    root, used = psutil.Process(stack.process.pid), dict[str, float]()
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.Error):
            name, times = process_name(process.cmdline()), process.cpu_times()
            used[name] = used.get(name, 0.0) + times.user + times.system
    return used


@dataclass
class Pace:
    """What a file's progress looked like from outside."""

    steps: list[tuple[float, str, int, int | None]] = field(default_factory=list)

    def follow(self, client: Client, name: str, *, seconds: float) -> dict[str, Any]:
        """Ask four times a second until the file is no longer pending; its record then."""
        began, seen = time.monotonic(), None
        while time.monotonic() - began < seconds:
            file = next(one for one in client.files() if one["name"] == name)
            now = (str(file["stage"]), file["progress_done"] or 0, file["progress_total"])
            if file["state"] != "pending":
                self.steps.append((time.monotonic() - began, file["state"], 0, None))
                return file
            if now != seen:
                seen = now
                self.steps.append((time.monotonic() - began, *now))
            time.sleep(0.25)
        raise AssertionError(f"{name} is still pending after {seconds:.0f} s: {self.steps[-1]}")

    @property
    def silence(self) -> tuple[float, str]:
        """The longest time without a change, in seconds, and what was shown meanwhile."""
        gaps = [
            (after[0] - before[0], f"{before[1]} {before[2]}")
            for before, after in zip(self.steps, self.steps[1:], strict=False)
        ]
        return max(gaps, default=(0.0, "-"))

    def stages(self) -> Mapping[str, float]:
        """Seconds each stage took."""
        took: dict[str, float] = {}
        for before, after in zip(self.steps, self.steps[1:], strict=False):
            took[before[1]] = took.get(before[1], 0.0) + after[0] - before[0]
        return took


def embedder_cut_at(folder: Path, tokens: int) -> dict[str, str]:
    """An environment where the built-in embedder reads only the first tokens of a chunk: for sizes, not for speed.

    Files are cut as ever: into chunks of what the embedder would read otherwise.
    """
    made = folder / "configs"
    shutil.copytree(ROOT / "configs", made)
    _change(made / "models.yaml", lambda read: read["served"][EMBEDDER]["options"].update(max_tokens=tokens))
    _change(made / "knowledge.yaml", lambda read: read["splitter"].update(options={"window_tokens": _WINDOW_TOKENS}))
    return {"CHATCHAT_CONFIG_DIR": str(made)}


def _change(path: Path, change: Callable[[Any], None]) -> None:
    read = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(read)
    path.write_text(yaml.safe_dump(read, allow_unicode=True), encoding="utf-8")


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, round(share * len(ranked) + 0.5) - 1))]
