"""Prints a table and appends it to docs/benchmarks.md with date, machine and commit."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections.abc import Sequence

from tests.stack import ROOT

BENCHMARKS = ROOT / "docs" / "benchmarks.md"


def commit() -> str:
    """Short id of the commit that was measured, with a + when the tree had changes."""
    name = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    dirty = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=False)
    return name.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def machine() -> str:
    """Cores, memory and system."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {gigabytes:.0f} GiB, {platform.machine()}, Python {platform.python_version()}"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def publish(title: str, command: str, body: str, *, write: bool) -> None:
    """Print the figures and, if asked, append them to the page."""
    today = datetime.datetime.now(datetime.UTC).date()
    text = f"\n## {title}\n\n{today} · {machine()} · commit {commit()} · `{command}`\n\n{body}\n"
    print(text)
    if write:
        with BENCHMARKS.open("a", encoding="utf-8") as page:
            page.write(text)
