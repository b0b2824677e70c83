"""What hostile files do to a running stack: `python -m tests.bench.ingestion.hostile [FOLDER …] [--write]`.

Every file of ../shared/corpora/hostile's manifest is uploaded. Judged: the outcome the manifest expects, its limit on
time and memory (of the process that reads), that /healthz answers in half a second meanwhile, and what must not be in
the chunks.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.bench.ingestion.uploading import Pulse, Uploaded, Uploader, repeatedly
from tests.bench.report import publish, table
from tests.conftest import CORPORA
from tests.stack import Stack

_HEALTH_SECONDS = 0.5
_READER = "services.api.knowledge.parsing.child"
_CANARIES = ("root:x:0:0", Path("/etc/hostname").read_text(encoding="utf-8").strip())


@dataclass
class Memory:
    """The most resident memory that any process reading files had, in MB; the api's beside it."""

    reader_mb: float = 0.0
    api_mb: float = 0.0

    @contextmanager
    def watched(self, stack: Stack) -> Iterator[None]:
        assert stack.process is not None
        root = psutil.Process(stack.process.pid)
        with repeatedly(lambda: self._look(root), every=0.05):
            yield

    def _look(self, root: psutil.Process) -> None:
        for process in root.children(recursive=True):
            with suppress(psutil.Error):
                words = process.cmdline()
                megabytes = process.memory_info().rss / 1e6
                if _READER in words:
                    self.reader_mb = max(self.reader_mb, megabytes)
                elif "services.api" in words:
                    self.api_mb = max(self.api_mb, megabytes)


@dataclass(frozen=True)
class Judged:
    """One file and what is wrong about what became of it."""

    path: str
    outcome: str
    seconds: float
    reader_mb: float
    health_ms: float
    wrong: tuple[str, ...]


def judged(entry: dict[str, Any], uploaded: Uploaded, memory: Memory, pulse: Pulse) -> Judged:
    limits = entry["limits"]
    slowest = max(pulse.answers, default=0.0)
    wrong = list(_outcome_faults(entry["expect"], uploaded))
    if uploaded.seconds > limits["max_seconds"]:
        wrong.append(f"{uploaded.seconds:.0f} s")
    if memory.reader_mb > limits["max_rss_mb"] * 1.048576:
        wrong.append(f"{memory.reader_mb:.0f} MB")
    if slowest > _HEALTH_SECONDS:
        wrong.append(f"/healthz took {1000 * slowest:.0f} ms")
    wrong += [f"the chunks hold {canary!r}" for canary in _CANARIES if canary and canary in uploaded.whole]
    if any(not str(chunk["page_content"]).strip() for chunk in uploaded.chunks):
        wrong.append("an empty chunk")
    longest = max((len(str(chunk["page_content"])) for chunk in uploaded.chunks), default=0)
    if longest > 4000:
        wrong.append(f"a chunk of {longest} characters")
    outcome = uploaded.state if uploaded.code is None else f"{uploaded.state}: {uploaded.code}"
    return Judged(entry["path"], outcome, uploaded.seconds, memory.reader_mb, 1000 * slowest, tuple(wrong))


def _outcome_faults(expect: str, uploaded: Uploaded) -> Iterator[str]:
    is_refused = uploaded.state in {"failed", "refused"}
    if uploaded.code == "internal" or "Traceback" in uploaded.sentence:
        yield f"no clear reason: {uploaded.sentence}"
    if is_refused and not uploaded.sentence:
        yield "refused without a sentence"
    if expect == "ok" and is_refused:
        yield f"refused: {uploaded.sentence}"
    if expect == "clear error" and not is_refused:
        yield f"{uploaded.state} with {len(uploaded.chunks)} chunks"


def report(found: Sequence[Judged]) -> str:
    """A line for each folder, and every file that is not right."""
    folders = sorted({one.path.partition("/")[0] for one in found})
    rows = [_row(name, [one for one in found if one.path.startswith(f"{name}/")]) for name in folders]
    rows.append(_row("**all**", found))
    text = table(("folder", "files", "right", "slowest s", "reader MB at most", "/healthz ms at most"), rows)
    wrong = [f"- `{one.path}` ({one.outcome}): {'; '.join(one.wrong)}" for one in found if one.wrong]
    return "\n".join([text, "", *wrong])


def _row(name: str, files: Sequence[Judged]) -> list[object]:
    return [
        name,
        len(files),
        sum(not one.wrong for one in files),
        f"{max(one.seconds for one in files):.1f}",
        f"{max(one.reader_mb for one in files):.0f}",
        f"{max(one.health_ms for one in files):.0f}",
    ]


def entries() -> list[dict[str, Any]]:
    """The manifest's files; its generators and lists are tests of their own."""
    lines = (CORPORA / "hostile" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return [entry for entry in found if entry.get("path") and not entry["path"].endswith("names.jsonl")]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", help="of the corpus; default: all")
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    chosen = [one for one in entries() if one.get("limits") and (CORPORA / "hostile" / one["path"]).is_file()]
    wanted = [one for one in chosen if not arguments.folders or one["path"].partition("/")[0] in arguments.folders]
    with tempfile.TemporaryDirectory() as scratch, Stack(Path(scratch), webui=False) as stack:
        uploader, found = Uploader(stack.api, "hostile"), []
        for number, entry in enumerate(wanted):
            name = f"{number:03} {Path(entry['path']).name}"
            memory, pulse = Memory(), Pulse()
            with memory.watched(stack), pulse.beating(stack.api):
                uploaded = uploader.upload(name, CORPORA / "hostile" / entry["path"])
                time.sleep(0.1)
            found.append(judged(entry, uploaded, memory, pulse))
            one = found[-1]
            figures = f"{one.seconds:6.1f} s {one.reader_mb:5.0f} MB {one.health_ms:5.0f} ms"
            print(f"{figures}  {one.path:45} {one.outcome} {one.wrong or ''}")
    publish(
        "Hostile files: what they do to the stack, through the API",
        "python -m tests.bench.ingestion.hostile",
        report(found),
        write=arguments.write,
    )


if __name__ == "__main__":
    main()
