"""What the scripts' displays share: text that does a terminal no harm, and tables with a sum."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text


def printable(text: str) -> str:
    """A text that can do no harm to a terminal: what cannot be seen shows as `?`."""
    return "".join(char if char.isprintable() else "?" for char in text)


def summed_table(title: str, names: Sequence[str], rows: Sequence[tuple[str, Sequence[int]]]) -> Table:
    """A row for each label with its numbers, and below them their sums; `names` are the columns', the label's first."""
    made = Table(title=title, title_justify="left", show_footer=True)
    sums = ["sum", *(str(sum(column)) for column in zip(*(numbers for _, numbers in rows), strict=True))]
    for name, total in zip(names, sums, strict=True):
        made.add_column(name, total, justify="left" if name == names[0] else "right", overflow="fold")
    for label, numbers in rows:
        made.add_row(Text(label), *map(str, numbers))
    return made
