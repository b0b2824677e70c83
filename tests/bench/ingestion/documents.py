"""How much of real files is found, through the API: `python -m tests.bench.ingestion.documents [FORMAT …] [--write]`.

Every file of ../shared/corpora/documents is uploaded to a running stack; each phrase of the manifest is looked for
in its chunks (NFKC, no white space), on the page the manifest names. A tenth of an OCR phrase may be misread.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.ingestion.uploading import Uploaded, Uploader, folded
from tests.bench.report import publish, table
from tests.conftest import CORPORA
from tests.stack import Stack

_MISREAD_SHARE = 0.1


@dataclass(frozen=True)
class Judged:
    """One file: the phrases it misses, those on the wrong page, and what else is wrong."""

    path: str
    shape: str
    expected: str
    phrases: int
    missing: tuple[str, ...]
    misplaced: tuple[str, ...]
    complaint: str
    seconds: float

    @property
    def is_right(self) -> bool:
        return not (self.missing or self.misplaced or self.complaint)


def nearly_in(phrase: str, text: str) -> bool:
    """Whether some stretch of `text` differs from `phrase` by at most a tenth of its characters (edit distance)."""
    if phrase in text:
        return True
    allowed = max(1, round(len(phrase) * _MISREAD_SHARE))
    before = [0] * (len(text) + 1)
    for row, char in enumerate(phrase, start=1):
        now = [row]
        for column, other in enumerate(text, start=1):
            now.append(min(before[column - 1] + (char != other), before[column] + 1, now[-1] + 1))
        before = now
    return min(before) <= allowed


def judged(entry: dict[str, Any], uploaded: Uploaded) -> Judged:
    """What the manifest's entry says of the outcome."""
    missing, misplaced, complaint = [], [], ""
    if entry["expect"] == "clear error":
        has_reason = uploaded.state == "failed" and uploaded.code not in {None, "internal"} and uploaded.sentence
        complaint = "" if has_reason and not uploaded.chunks else f"state {uploaded.state}, code {uploaded.code}"
    elif uploaded.state != "indexed":
        complaint = f"{uploaded.state}: {uploaded.sentence}"
    for phrase in entry["must_contain"] if entry["expect"] == "ok" else ():
        wanted = folded(phrase)
        found = nearly_in if entry.get("needs_ocr") else str.__contains__
        holds = found(wanted, uploaded.whole) if entry.get("needs_ocr") else wanted in uploaded.whole
        if not holds:
            missing.append(phrase)
            continue
        pages = entry.get("pages", {}).get(phrase)
        if pages and not any(_on_page(wanted, uploaded, page, loosely=bool(entry.get("needs_ocr"))) for page in pages):
            misplaced.append(phrase)
    return Judged(
        entry["path"], entry["format"], entry["expect"], len(entry["must_contain"]), tuple(missing), tuple(misplaced),
        complaint, uploaded.seconds,
    )  # fmt: skip


def _on_page(wanted: str, uploaded: Uploaded, page: int, *, loosely: bool) -> bool:
    text = folded("\n".join(c["page_content"] for c in uploaded.chunks if c["metadata"].get("page") == page))
    return nearly_in(wanted, text) if loosely else wanted in text


def report(found: Sequence[Judged]) -> str:
    """A line for each format, the sum, and every file that is not right."""
    formats: dict[str, list[Judged]] = defaultdict(list)
    for one in found:
        formats[one.shape].append(one)
    rows = [_row(shape, files) for shape, files in sorted(formats.items())] + [_row("**all**", found)]
    text = table(("format", "files", "right", "phrases", "found", "on the right page or without one", "seconds"), rows)
    wrong = [f"- `{one.path}`: {_wrong(one)}" for one in found if not one.is_right]
    readable = [one for one in found if one.expected == "ok"]
    share = sum(one.is_right for one in readable) / max(1, len(readable))
    return "\n".join([text, "", f"Files with `expect: ok` of which every phrase is found: {share:.1%}.", "", *wrong])


def _row(name: str, files: Sequence[Judged]) -> list[object]:
    phrases = sum(one.phrases for one in files)
    missing = sum(len(one.missing) for one in files)
    misplaced = sum(len(one.misplaced) for one in files)
    right = sum(one.is_right for one in files)
    seconds = sum(one.seconds for one in files)
    return [name, len(files), right, phrases, phrases - missing, phrases - missing - misplaced, f"{seconds:.1f}"]


def _wrong(one: Judged) -> str:
    parts = [one.complaint]
    parts += [f"missing {phrase!r}" for phrase in one.missing]
    parts += [f"on another page {phrase!r}" for phrase in one.misplaced]
    return "; ".join(filter(None, parts))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("formats", nargs="*", help="of the manifest; default: all")
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    folder = CORPORA / "documents"
    entries = [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    wanted = [entry for entry in entries if not arguments.formats or entry["format"] in arguments.formats]
    with tempfile.TemporaryDirectory() as scratch, Stack(Path(scratch), webui=False) as stack:
        uploader = Uploader(stack.api, "documents")
        found = []
        for number, entry in enumerate(wanted):
            name = f"{number:03} {Path(entry['path']).name}"
            found.append(judged(entry, uploader.upload(name, folder / entry["path"])))
            print(f"{found[-1].seconds:6.1f} s  {'ok ' if found[-1].is_right else 'NOT'} {entry['path']}")
    publish(
        "Real files: phrases found in the chunks, through the API",
        "python -m tests.bench.ingestion.documents",
        report(found),
        write=arguments.write,
    )


if __name__ == "__main__":
    main()
