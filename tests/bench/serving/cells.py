"""Blocks of every path in rotating order, medians of them, and the table. Used by the serving benches."""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import uvloop

from tests.bench.report import table
from tests.bench.serving.load import Ask, Block, Path, measure

HEADER = (
    "path", "streams", "requests/s", "ratio", "first token p50 ms", "p99 ms", "inter-token p50 ms", "CPU ms/request",
    "events", "errors",
)  # fmt: skip


@dataclass(frozen=True)
class Rounds:
    """How long is measured: `rounds` blocks of `seconds` for each path and number of streams."""

    streams: Sequence[int]
    rounds: int
    seconds: float


@dataclass
class Cell:
    """All blocks of one path at one number of streams."""

    path: Path
    streams: int
    blocks: list[Block]

    def median(self, figure: Callable[[Block], float]) -> float:
        return statistics.median(figure(block) for block in self.blocks)

    @property
    def first_token_ms(self) -> float:
        return 1000 * statistics.median(answer.first_seconds for block in self.blocks for answer in block.good)

    @property
    def failures(self) -> list[str]:
        return [failure for block in self.blocks for failure in block.failures]

    def ratio_to(self, other: Cell) -> float:
        """Median over the rounds of this path's requests/s against the other's in the same round."""
        pairs = zip(self.blocks, other.blocks, strict=True)
        return statistics.median(mine.per_second / theirs.per_second for mine, theirs in pairs)

    def row(self, alone: Cell) -> list[str]:
        answers = [answer for block in self.blocks for answer in block.good]
        firsts = sorted(answer.first_seconds for answer in answers)
        gaps = [answer.gap_seconds for answer in answers]
        cpu = [
            f"{name} {statistics.median(block.cpu_ms(name) for block in self.blocks):.2f}" for name in self.path.pids
        ]
        return [
            self.path.name,
            str(self.streams),
            f"{self.median(lambda block: block.per_second):.1f}",
            f"{self.ratio_to(alone):.2f}",
            f"{self.first_token_ms:.1f}",
            f"{1000 * firsts[int(len(firsts) * 0.99)]:.1f}",
            f"{1000 * statistics.median(gaps):.2f}",
            ", ".join(cpu),
            f"{statistics.median(answer.events for answer in answers):g}",
            str(len(self.failures)),
        ]


async def rounds(paths: Sequence[Path], ask: Ask, plan: Rounds) -> list[list[Cell]]:
    for path in paths:
        await measure(path, ask, streams=2, seconds=0.5)  # connections, caches
    found = []
    for streams in plan.streams:
        cells = [Cell(path, streams, []) for path in paths]
        for number in range(plan.rounds):
            turn = number % len(cells)
            for cell in [*cells[turn:], *cells[:turn]]:
                cell.blocks.append(await measure(cell.path, ask, streams=streams, seconds=plan.seconds))
        found.append(cells)
        sys.stderr.write(f"{streams} streams measured\n")
    return found


def compare(paths: Sequence[Path], ask: Ask, plan: Rounds) -> list[list[Cell]]:
    """Measure every path at every number of streams; the first path is the one the ratios are taken against."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(rounds(paths, ask, plan))


def report(found: Sequence[Sequence[Cell]]) -> str:
    """The table of all cells, and the first failures if there are any."""
    text = table(HEADER, [cell.row(cells[0]) for cells in found for cell in cells])
    failures = [failure for cells in found for cell in cells for failure in cell.failures]
    return text + "".join(f"\n\nfailed: {failure!r}" for failure in failures[:3])
