"""What the gateway costs, over the echo engine. `python -m tests.bench.serving.relay [--write]`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.bench.report import publish
from tests.bench.serving import cells, load
from tests.bench.serving.processes import Plane

CHUNKS = 64
ECHO = {"task": "chat", "engine": "echo", "options": {"pieces": CHUNKS, "concurrency": 512, "delay_seconds": 0.004}}
ASK = load.Ask(" ".join(f"word{number}" for number in range(CHUNKS)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32, 200])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Plane(Path(folder), {"echo": ECHO}).running() as plane:
        alone = load.Path("worker alone", plane.url("echo"), "echo", {"worker": [plane.pids["echo"]]})
        pids = {name: [plane.pids[process]] for name, process in (("worker", "echo"), ("gateway", "gateway"))}
        through = load.Path("through the gateway", plane.url("gateway"), "echo", pids)

        plan = cells.Rounds(arguments.streams, arguments.rounds, arguments.seconds)
        found = cells.compare([alone, through], ASK, plan)
    publish(
        "The gateway over the echo engine: streams of 64 chunks, 4 ms apart",
        "python -m tests.bench.serving.relay",
        cells.report(found),
        write=arguments.write,
    )


if __name__ == "__main__":
    main()
