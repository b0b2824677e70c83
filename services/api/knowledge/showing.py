"""Carries out a task on a console: a bar for all, one for each file that is being done, a table at the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from services.api.domain import ingestion
from services.api.domain.knowledge import FileId
from services.api.domain.names import KnowledgeBaseName
from services.api.knowledge.consistency import Inspection
from services.api.knowledge.console import printable, summed_table
from services.api.knowledge.findings import Verdict
from services.api.knowledge.maintenance import Maintenance, Outcome, Step, Task
from services.api.knowledge.service import KnowledgeService
from services.foundation.errors import ChatchatError

_LOOK_SECONDS = 0.3
_NAME_CHARS = 40


async def show(maintenance: Maintenance, knowledge: KnowledgeService, steps: Sequence[Step], console: Console) -> int:
    """Carry the steps out and show how it goes; returns how many failed, files no loader stands for left out."""
    outcomes: list[Outcome] = []
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    ) as progress:
        total = progress.add_task("", total=len(steps))
        bars = _FileBars(progress, knowledge, sorted({step.base for step in steps}))
        looking = asyncio.create_task(bars.keep())
        try:
            async for outcome in maintenance.run(steps):
                outcomes.append(outcome)
                progress.update(total, advance=1, description=_short(outcome.step.file.value))
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            bars.clear()
    outcomes.sort(key=lambda outcome: (outcome.step.base, outcome.step.file))
    for outcome in outcomes:
        console.print(f"{outcome.step.base}/{outcome.step.file}: {outcome.said}", markup=False)
    if steps:
        console.print(summary(outcomes))
    return sum(1 for outcome in outcomes if outcome.failure and not outcome.skipped)


async def show_inspection(inspection: Inspection, named: Sequence[KnowledgeBaseName], console: Console) -> int:
    """Check the named bases, or all, and print what was found; returns how many findings need a person."""
    report = await inspection.run(named, wait=True)
    for line in report.lines():
        console.print(line, markup=False)
    left = sum(finding.verdict is Verdict.NEEDS_PERSON for finding in report.findings)
    done = sum(finding.verdict is Verdict.REPAIRED for finding in report.findings)
    console.print(f"check: {done} faults repaired, {left} left for a person", markup=False)
    return left


def summary(outcomes: Sequence[Outcome]) -> Table:
    """A row for each base, and their sum."""
    indexes = outcomes[0].step.task not in {Task.PRUNE_DB, Task.PRUNE_FOLDER}
    names = ("base", "files", "indexed" if indexes else "removed", "failed", "skipped", "chunks")
    return summed_table(outcomes[0].step.task.value, names, list(_rows(outcomes)))


def _rows(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, list[int]]]:
    for base in sorted({outcome.step.base for outcome in outcomes}):
        own = [outcome for outcome in outcomes if outcome.step.base == base]
        fates = Counter("skipped" if one.skipped else "failed" if one.failure else "done" for one in own)
        chunks = sum(one.chunk_count for one in own)
        yield base.value, [len(own), fates["done"], fates["failed"], fates["skipped"], chunks]


class _FileBars:
    """A bar for each file that is being read or indexed, whichever process does it."""

    def __init__(self, progress: Progress, knowledge: KnowledgeService, bases: Sequence[KnowledgeBaseName]) -> None:
        self._progress = progress
        self._knowledge = knowledge
        self._bases = bases
        self._bars: dict[FileId, TaskID] = {}
        self._names: dict[FileId, str] = {}

    async def keep(self) -> None:
        """Look again and again."""
        while True:
            with contextlib.suppress(ChatchatError):  # the task itself will tell
                await self._look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> None:
        under_way: dict[FileId, ingestion.Progress] = {}
        for base in self._bases:
            found = await self._knowledge.progress(base)
            under_way |= {id_: how for id_, how in found.items() if how.stage is not ingestion.Stage.WAITING}
            if under_way.keys() - self._names.keys():
                self._names |= {file.id: file.name.value for file in await self._knowledge.files(base)}
        for id_, bar in list(self._bars.items()):
            if id_ not in under_way:
                self._progress.remove_task(bar)
                del self._bars[id_]
        for id_, how in under_way.items():
            if id_ not in self._bars:
                self._bars[id_] = self._progress.add_task("", total=None)
            said = f"  {how.stage.value:<8} {_short(self._names.get(id_, ''))}"
            self._progress.update(self._bars[id_], completed=how.done, total=how.total, description=said)

    def clear(self) -> None:
        """Take the bars away."""
        for bar in self._bars.values():
            self._progress.remove_task(bar)


def _short(name: str) -> str:
    shown = printable(name)
    return escape(shown if len(shown) <= _NAME_CHARS else f"{shown[: _NAME_CHARS - 1]}…")
