"""A long PDF and a long CSV through a running stack: `python -m tests.bench.ingestion.large [--full] [--write]`.

Printed: the most resident memory of each process, how long each stage took, and the longest time in which the progress
that a client sees did not move. By default 300 pages and 50,000 rows, with the embedder as it is; `--full` is 2,000
pages and a million rows, with an embedder that reads 16 tokens of a chunk (`--tokens 256` for all of it: an hour more).
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.ingestion.driving import Client, Pace, Peaks, embedder_cut_at
from tests.bench.ingestion.making import english, pages, written_csv, written_pdf
from tests.bench.report import publish, table
from tests.stack import Stack

MEMORY_LIMIT_MB = 1000
SILENCE_LIMIT_SECONDS = 10


@dataclass
class Passed:
    """One file on its way through."""

    name: str
    megabytes: float
    chunks: int = 0
    pace: Pace = field(default_factory=Pace)
    peaks: Peaks = field(default_factory=Peaks)


def through(scratch: Path, path: Path, environment: dict[str, str], seconds: float) -> Passed:
    """Index one file in a stack of its own, so that the peaks are this file's."""
    passed = Passed(path.name, path.stat().st_size / 1e6)
    with Stack(scratch, webui=False, environment=environment) as stack, passed.peaks.watched(stack):
        client = Client(stack.api, "large")
        client.send([path])
        record = passed.pace.follow(client, path.name, seconds=seconds)
    assert record["state"] == "indexed", record
    passed.chunks = record["chunk_count"]
    return passed


def report(found: list[Passed], note: str) -> str:
    """A line a file, then the memory of each process."""
    rows = []
    for one in found:
        quiet, shown = one.pace.silence
        stages = ", ".join(f"{name} {seconds:.0f}" for name, seconds in one.pace.stages().items())
        moved = f"{quiet:.1f} ({shown})"
        rows.append([one.name, f"{one.megabytes:.1f}", one.chunks, stages, len(one.pace.steps), moved])
    header = ("file", "MB", "chunks", "seconds of each stage", "changes of progress", "longest without one, s (at)")
    parts = [table(header, rows)]
    parts += [table((f"process, {one.name}", "VmHWM, MB"), one.peaks.rows()) for one in found]
    parts.append(f"{note} Bound: {MEMORY_LIMIT_MB} MB; a change at least every {SILENCE_LIMIT_SECONDS} s.")
    return "\n\n".join(parts)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="2,000 pages, 1,000,000 rows, 16 tokens")
    parser.add_argument("--pages", type=int, help="of the PDF; 0: no PDF")
    parser.add_argument("--rows", type=int, help="of the CSV; 0: no CSV")
    parser.add_argument("--tokens", type=int, help="the embedder reads so many of a chunk")
    parser.add_argument("--seconds", type=float, default=14_400.0, help="longest time for one file")
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    page_count = (2000 if arguments.full else 300) if arguments.pages is None else arguments.pages
    row_count = (1_000_000 if arguments.full else 50_000) if arguments.rows is None else arguments.rows
    tokens = arguments.tokens or (16 if arguments.full else 256)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        root, paths = Path(folder), []
        environment = embedder_cut_at(root, tokens)
        if page_count:
            name = root / f"{page_count} pages.pdf"
            paths.append(written_pdf(name, pages(english(), page_count), "en", table_every=10))
        if row_count:
            paths.append(written_csv(root / f"{row_count} rows.csv", row_count))
        for number, path in enumerate(paths):
            scratch = root / str(number)
            scratch.mkdir()
            found.append(through(scratch, path, environment, arguments.seconds))
            print(found[-1].name, found[-1].pace.stages(), found[-1].peaks.megabytes, flush=True)
    command = f"python -m tests.bench.ingestion.large --pages {page_count} --rows {row_count} --tokens {tokens}"
    publish(
        "Large files: memory and progress, through the API",
        command,
        report(found, f"The embedder read the first {tokens} tokens of each chunk."),
        write=arguments.write,
    )


if __name__ == "__main__":
    main()
