"""How long reading files is silent: `python -m tests.bench.ingestion.silences FILE … [--write]`.

Each file is read and cut as the parser's child process does it, in a process of its own. Printed: its processor
seconds, its most resident memory, and the longest time between two reports of progress, in processor seconds, so that
a loaded machine does not change it.
"""

from __future__ import annotations

import argparse
import io
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

from services.api.domain.knowledge import SourceFile, SplitterChoice
from services.api.domain.names import FileName
from services.api.knowledge.parsing.child import Teller, parse
from services.api.knowledge.parsing.messages import Task
from services.foundation.errors import ChatchatError
from tests.bench.report import publish, table

LIMIT_SECONDS = 5


class _Clock(Teller):
    """Notes when it is told how far the reading is."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.heard = [time.process_time()]

    def tell(self, message: object) -> None:
        if isinstance(message, dict) and "progress" in message:
            self.heard.append(time.process_time())


def measured(path: Path) -> tuple[object, ...]:
    """A line of the table."""
    clock = _Clock()
    outcome = "read"
    try:
        parse(Task.of(SourceFile(FileName(path.name), path), SplitterChoice("sentences", {})), clock)
    except ChatchatError as failure:
        outcome = failure.code
    times = [*clock.heard, time.process_time()]
    quiet = max(later - earlier for earlier, later in pairwise(times))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    size = f"{path.stat().st_size / 1e6:.1f}"
    return path.name, size, f"{times[-1] - times[0]:.1f}", f"{peak:.0f}", len(times) - 2, f"{quiet:.1f}", outcome


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    with ProcessPoolExecutor(max_workers=1, max_tasks_per_child=1) as pool:
        rows = list(pool.map(measured, arguments.files))
    header = ("file", "MB", "processor s", "peak MB", "reports", "longest silence, processor s", "outcome")
    note = f"Bound: {LIMIT_SECONDS} processor seconds."
    publish(
        "Silence of the readers",
        f"python -m tests.bench.ingestion.silences {' '.join(path.name for path in arguments.files)}",
        f"{table(header, rows)}\n\n{note}",
        write=arguments.write,
    )


if __name__ == "__main__":
    main()
