"""Prints what a run and a comparison found, for an operator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.evaluation.calibrating import Calibration
from services.evaluation.comparing import Difference
from services.evaluation.metrics.summary import LOWER_IS_BETTER
from services.evaluation.records import RunResult

_SHOWN_FAILURES = 5
_TABLE_CHARS = 130


def show_run(result: RunResult, kept: Path, console: Console) -> None:
    """The figures, the times, what failed, and where the result lies."""
    configuration, summary = result.configuration, result.summary
    title = f"{result.label}: {configuration.base}, {summary.questions} questions, {result.seconds:.1f} s"
    table = _table(title, "measure", "mean", "questions", "p50", "p95")
    for name, figure in summary.figures.items():
        times = summary.percentiles.get(name)
        ends = (f"{times['p50']:.0f}", f"{times['p95']:.0f}") if times else ("", "")
        mean = f"{figure.mean:.0f}" if times else f"{figure.mean:.4f}"
        table.add_row(name, mean, str(figure.count), *ends)
    _print(table, console)
    if summary.absent_gold:
        console.print(f"{summary.absent_gold} questions name gold files that the base does not hold", style="yellow")
    if summary.ungraded:
        console.print(f"{summary.ungraded} answers have no verdict ({configuration.grade})", style="yellow")
    _show_failures(result, console)
    console.print(f"kept in {kept}", markup=False)


def show_differences(first: RunResult, second: RunResult, found: Sequence[Difference], console: Console) -> None:
    """A row for each measure; a star where the interval leaves out zero."""
    title = f"{_printable(first.label)} → {_printable(second.label)}, 95 % interval of the difference"
    heads = ("measure", "first", "second", "difference", "low", "high", "won", "lost", "questions", "clear")
    table = _table(title, *heads)
    for one in found:
        shown = [f"{value:+.4f}" for value in (one.second - one.first, one.low, one.high)]
        name = f"{one.measure} (lower is better)" if one.measure in LOWER_IS_BETTER else one.measure
        counts = [str(count) for count in (one.won, one.lost, one.count)]
        table.add_row(name, f"{one.first:.4f}", f"{one.second:.4f}", *shown, *counts, "*" if one.is_clear else "")
    _print(table, console)
    for result in (first, second):
        if result.summary.failed:
            said = f"{result.label}: {result.summary.failed} questions failed and are left out where they have no value"
            console.print(_printable(said), style="yellow", markup=False)


def show_calibration(found: Calibration, console: Console) -> None:
    """The setting, and what it would have done."""
    console.print(f"knowledge.answering.sufficient_relevance: {found.threshold:g}", markup=False)
    console.print(f"refuses {found.false_refusals:.1%} of {found.answerable} answerable questions", markup=False)
    if found.refusals is None:
        console.print(
            "the set has no unanswerable question: how many it would rightly refuse is not known", style="yellow"
        )
    else:
        console.print(f"and {found.refusals:.1%} of {found.unanswerable} unanswerable ones", markup=False)


def _show_failures(result: RunResult, console: Console) -> None:
    failed = [(record.question.ident, failure) for record in result.records for failure in record.failures]
    for ident, failure in failed[:_SHOWN_FAILURES]:
        console.print(_printable(f"{ident}: {failure.step}: {failure.sentence}"), style="red", markup=False)
    if failed:
        said = f"{result.summary.failed} of {result.summary.questions} questions failed; each is in the result"
        console.print(said, style="red")


def _table(title: str, *heads: str) -> Table:
    table = Table(title=Text(_printable(title)), title_justify="left")
    for head in heads:
        table.add_column(head, justify="left" if head == heads[0] else "right", no_wrap=True)
    return table


def _print(table: Table, console: Console) -> None:
    """A figure is never shortened: on a narrow terminal the lines break, and a pipe gets them whole."""
    Console(file=console.file, width=max(console.width, _TABLE_CHARS)).print(table)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
