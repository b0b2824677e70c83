"""A relayed stream by this gateway and by another checkout's. `python -m tests.bench.serving.against FOLDER [--write]`.

Both stand before the same workers and are asked in turn, so that a machine that others use, too, is unfair to neither.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop

from tests.bench.report import publish, table
from tests.bench.serving import cells
from tests.bench.serving.__main__ import PROMPT, served
from tests.bench.serving.engines import FIELDS
from tests.bench.serving.load import Ask
from tests.bench.serving.load import Path as Way
from tests.bench.serving.processes import Plane
from tests.bench.serving.relay import ASK, ECHO
from tests.tiny_models import make_chat_model

_HEADER = (
    "engine", "streams", "other: CPU ms/stream", "this: CPU ms/stream", "ratio, median of rounds", "least–most",
    "first token p50 ms", "p99 ms", "inter-token p50 ms", "errors",
)  # fmt: skip


def _ways(plane: Plane, model: str, other: str) -> list[Way]:
    return [Way(name, plane.url(name), model, {"gateway": [plane.pids[name]]}) for name in (other, "gateway")]


def _row(engine: str, before: cells.Cell, after: cells.Cell) -> list[str]:
    both = before, after
    spent = [[block.cpu_ms("gateway") for block in cell.blocks] for cell in both]
    ratios = [mine / theirs for theirs, mine in zip(*spent, strict=True)]
    answers = [[answer for block in cell.blocks for answer in block.good] for cell in both]
    firsts = [sorted(1000 * answer.first_seconds for answer in found) for found in answers]
    gaps = [1000 * statistics.median(answer.gap_seconds for answer in found) for found in answers]
    return [
        engine,
        str(after.streams),
        f"{statistics.median(spent[0]):.2f}",
        f"**{statistics.median(spent[1]):.2f}**",
        f"{statistics.median(ratios):.2f}",
        f"{min(ratios):.2f}–{max(ratios):.2f}",
        " → ".join(f"{statistics.median(found):.1f}" for found in firsts),
        " → ".join(f"{found[int(len(found) * 0.99)]:.1f}" for found in firsts),
        " → ".join(f"{gap:.2f}" for gap in gaps),
        " → ".join(str(len(cell.failures)) for cell in both),
    ]


def _measured(plane: Plane, ask: Ask, checkout: Path, plan: cells.Rounds) -> Sequence[Sequence[cells.Cell]]:
    with (
        plane.running(),
        plane.second_gateway(checkout) as other,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(cells.rounds(_ways(plane, next(iter(plane.served)), other), ask, plan))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="folder of the other code")
    parser.add_argument("--engine", choices=["echo", "vllm"], default="echo")
    parser.add_argument("--streams", type=int, nargs="+", default=[8, 32, 200])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    plan = cells.Rounds(arguments.streams, arguments.rounds, arguments.seconds)
    with tempfile.TemporaryDirectory() as folder:
        models: dict[str, object] = {"echo": ECHO}
        ask = ASK
        if arguments.engine == "vllm":
            models, ask = served(make_chat_model(Path(folder) / "tiny")), Ask(PROMPT, FIELDS)
        settings = Path(folder) / "plane"
        settings.mkdir()
        found = _measured(Plane(settings, models), ask, arguments.checkout, plan)
    publish(
        "A relayed stream of 64 chunks: this gateway and the one before, in turn",
        f"python -m tests.bench.serving.against {arguments.checkout.name} --engine {arguments.engine}",
        table(_HEADER, [_row(arguments.engine, *both) for both in found]),
        write=arguments.write,
    )


if __name__ == "__main__":
    main()
