"""Carries an import out on a console: a bar while files are copied, a line for what needs eyes, a table at the end."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from services.api.knowledge.console import printable, summed_table
from services.api.knowledge.importing.importer import Copying, Importer, Origin
from services.api.knowledge.importing.naming import JOINT
from services.api.knowledge.importing.report import BaseOutcome, Fate, ImportReport

_COLUMNS = ("base", "files", *(fate.value for fate in Fate), "records taken", "records here")
_NOT_LOCAL = (
    "only a file of this machine can be imported: an SQLite database; of an installation over PostgreSQL or MySQL, "
    "only the folder can be (--import-folder)"
)


def local_path(given: str) -> Path:
    """A path from the command line, as the caller's shell means it. Raises ArgumentTypeError for an address."""
    if "://" in given:  # not repeated: it may hold a password
        raise ArgumentTypeError(_NOT_LOCAL)
    return Path(given).absolute()


async def import_from(importer: Importer, database: Path | None, folder: Path | None, console: Console) -> int:
    """Import what is named, if anything, and show what became of it; returns how many files and bases failed.

    Raises:
        ImportRefused, StoreFailed: as the importer does.
    """
    if database is None and folder is None:
        return 0
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=None)

        def heard(copying: Copying) -> None:
            shown = escape(printable(copying.path))
            progress.update(bar, completed=copying.done_bytes, total=copying.total_bytes, description=shown)

        report = await importer.run(Origin(database, folder), heard)
    for line in lines(report):
        console.print(line, markup=False, highlight=False)
    if report.bases:
        console.print(table(report))
    for line in closing_lines(report):
        console.print(line, markup=False, highlight=False)
    return report.failed


def lines(report: ImportReport) -> Iterator[str]:
    """What differs from a plain copy: one line each."""
    for base in report.bases:
        name = printable(base.name)
        if base.refusal:
            yield f"{name}: failed: {base.refusal}"
        elif not base.is_new and _has_changed(base):
            yield f"{name}: it is here already; files and records are added, its description and models stay"
        for remark in base.remarks:
            yield f"{name}: {printable(remark)}"
        yield from _renamed(base)
        for file in base.files:
            if file.said:
                yield f"{name}/{printable(file.path)}: {file.fate.value}: {printable(file.said)}"
    yield from map(printable, report.remarks)


def _renamed(base: BaseOutcome) -> Iterator[str]:
    """One line for all whose folders were joined to the name, one for each that was named otherwise."""
    copied = [file for file in base.files if file.fate is Fate.COPIED and file.name != file.path]
    joined = [file for file in copied if file.name == file.path.replace("/", JOINT)]
    if joined:
        example = f"{printable(joined[0].path)} is {printable(joined[0].name)} now"
        yield f"{printable(base.name)}: files of sub-folders have the folder in their name: {len(joined)} ({example})"
    for file in copied:
        if file.name != file.path.replace("/", JOINT):
            yield f"{printable(base.name)}/{printable(file.path)}: copied as {printable(file.name)}"


def _has_changed(base: BaseOutcome) -> bool:
    return bool(base.records_taken or base.counts[Fate.COPIED])


def table(report: ImportReport) -> Table:
    """A row for each base, and their sum."""
    rows = [(f"{printable(base.name)}{' (failed)' if base.refusal else ''}", _numbers(base)) for base in report.bases]
    return summed_table("import", _COLUMNS, rows)


def _numbers(base: BaseOutcome) -> list[int]:
    return [len(base.files), *(base.counts[fate] for fate in Fate), base.records_taken, base.records_here]


def closing_lines(report: ImportReport) -> Iterator[str]:
    """The conversations, and what to do now."""
    if report.rows_copied is not None:
        yield f"{report.rows_copied} rows copied"
        return
    if report.turns_taken or report.turns_here:
        yield f"questions with answers: {report.turns_taken} taken over, {report.turns_here} here already"
    if not report.is_changed:
        yield "All that can be imported is here already: nothing was changed."
    elif any(map(_has_changed, report.bases)):
        yield "What is new is found once it is indexed: init_database.py -i"
