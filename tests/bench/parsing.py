"""How well files are read: `python -m tests.bench.parsing [documents|hostile|show PATH]`.

documents: for each supported file of ../shared/corpora/documents, the share of its phrases found in the loader's
output and in single passages, the right page, the time. hostile: outcome, time and memory per file, in processes.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.api.domain.knowledge import Document, Passage, SourceFile
from services.api.domain.names import FileName
from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.splitters.measure import THIRDS, width
from services.api.knowledge.splitters.sentences import SentenceSplitter
from services.foundation.errors import ChatchatError

CORPORA = Path(__file__).resolve().parents[3] / "shared" / "corpora"
HOSTILE_SECONDS = 60


def folded(text: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))


def load(path: Path) -> Document:
    name = FileName.parse(path.name)
    return LOADERS.build(name.extension).load(SourceFile(name, path))


def supported(path: str) -> bool:
    return Path(path).suffix.lower() in LOADERS


@dataclass
class Result:
    path: str
    outcome: str
    phrases: int = 0
    in_text: int = 0
    in_passage: int = 0
    paged: int = 0
    right_page: int = 0
    seconds: float = 0.0
    passages: int = 0
    missing: tuple[str, ...] = ()


def judged(entry: dict[str, Any]) -> Result:
    begun = time.perf_counter()
    try:
        document = load(CORPORA / "documents" / entry["path"])
        passages = SentenceSplitter().split(document)
    except ChatchatError as failure:
        expected = entry["expect"] == "clear error" or entry.get("needs_ocr")
        return Result(entry["path"], f"{'ok' if expected else 'WRONG'}: {failure}", seconds=time.perf_counter() - begun)
    result = Result(entry["path"], "ok", seconds=time.perf_counter() - begun, passages=len(passages))
    if entry["expect"] == "clear error":
        result.outcome = "read though an error was expected"
    texts = [folded(passage.text) for passage in passages]
    whole = "".join(folded(section.text) for section in document.sections)
    missing = []
    for phrase in entry["must_contain"]:
        result.phrases += 1
        wanted = folded(phrase)
        result.in_text += wanted in whole
        found = [place for place, text in enumerate(texts) if wanted in text]
        result.in_passage += bool(found)
        if not found:
            missing.append(phrase)
        pages = entry.get("pages", {}).get(phrase)
        if pages:
            result.paged += 1
            result.right_page += any(passages[place].place.page in pages for place in found)
    result.missing = tuple(missing)
    return result


def documents() -> None:
    lines = (CORPORA / "documents" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    results = [judged(entry) for entry in map(json.loads, lines) if supported(entry["path"])]
    for found in results:
        print(
            f"{found.path:44} {found.seconds:6.2f} s {found.passages:6} passages  text {found.in_text}/{found.phrases} "
            f"passage {found.in_passage}/{found.phrases} page {found.right_page}/{found.paged}  {found.outcome} "
            f"{'MISSING ' + str(found.missing) if found.missing else ''}"
        )
    formats: dict[str, list[Result]] = defaultdict(list)
    for found in results:
        formats[found.path.split("/")[0]].append(found)
    print(f"\n{'format':8}{'files':>6}{'phrases':>9}{'in text':>9}{'passage':>9}{'pages':>9}{'seconds':>9}")
    for name, group in sorted(formats.items()):
        phrases, paged = sum(one.phrases for one in group), sum(one.paged for one in group)
        print(
            f"{name:8}{len(group):6}{phrases:9}{sum(one.in_text for one in group):9}"
            f"{sum(one.in_passage for one in group):9}{sum(one.right_page for one in group):5}/{paged:<3}"
            f"{sum(one.seconds for one in group):9.2f}"
        )


def one_hostile(path: Path) -> None:
    """Read one file and print what came of it as JSON; runs in a process of its own."""
    begun = time.perf_counter()
    outcome = {"outcome": "ok", "text": "", "passages": 0, "widest": 0}
    try:
        document = load(path)
        read = time.perf_counter()
        passages = SentenceSplitter().split(document)
        outcome["passages"] = len(passages)
        outcome["split_seconds"] = round(time.perf_counter() - read, 2)
        outcome["widest"] = max((width(passage.text) for passage in passages), default=0) // THIRDS
        outcome["text"] = folded("".join(section.text for section in document.sections))[:200_000]
        outcome["warnings"] = list(document.warnings)[:3]
    except ChatchatError as failure:
        outcome["outcome"] = f"{failure.code}: {failure}"
    outcome["seconds"] = round(time.perf_counter() - begun, 2)
    outcome["rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(outcome))


def hostile() -> None:
    lines = (CORPORA / "hostile" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    for entry in map(json.loads, lines):
        if not entry.get("path") or not supported(entry["path"]):
            continue
        command = [sys.executable, "-m", "tests.bench.parsing", "one", str(CORPORA / "hostile" / entry["path"])]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=HOSTILE_SECONDS,
                check=False,
                cwd=os.getcwd(),  # noqa: PTH109
            )
        except subprocess.TimeoutExpired:
            print(f"{entry['path']:42} HANGS (> {HOSTILE_SECONDS} s)  expect {entry['expect']}")
            continue
        if done.returncode:
            print(f"{entry['path']:42} CRASH {done.returncode} {done.stderr[-300:]!r}")
            continue
        found = json.loads(done.stdout)
        failed = found["outcome"] != "ok"
        wrong = (failed and entry["expect"] == "ok") or (not failed and entry["expect"] == "clear error")
        missing = [phrase for phrase in entry.get("must_contain", []) if folded(phrase) not in found["text"]]
        leak = "root:x:0" in found["text"] or "/" + "tmp" in found["outcome"]
        big = found["rss_mb"] > 1024 or found["widest"] > 250
        print(
            f"{entry['path']:42} {found['seconds']:6.2f} s {found['rss_mb']:5} MB {found['passages']:6} "
            f"{'WRONG ' if wrong or big or leak or (missing and not failed) else ''}{found['outcome'][:150]}"
            f"{' MISSING ' + str(missing) if missing else ''} {found.get('warnings') or ''}"
        )


def shown(passage: Passage) -> str:
    place = passage.place
    where = " ".join(f"{name}={getattr(place, name)}" for name in ("page", "sheet", "row", "last_row", "heading"))
    return f"--- [{width(passage.text) // THIRDS}] {where}\n{passage.text}"


def main() -> None:
    match sys.argv[1:]:
        case ["one", path]:
            one_hostile(Path(path))
        case ["show", path]:
            document = load(Path(path))
            print(*map(shown, SentenceSplitter().split(document)), document.warnings, sep="\n")
        case ["hostile"]:
            hostile()
        case ["documents"]:
            documents()
        case _:
            documents()
            hostile()


if __name__ == "__main__":
    main()
