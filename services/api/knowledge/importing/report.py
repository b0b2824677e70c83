"""What became of an import: of each file, of each base, of the conversations. `summary` shows it."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field


class Fate(enum.StrEnum):
    """What became of one file."""

    COPIED = "copied"
    HERE = "here already"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """One file of the old installation.

    Attributes:
        path: its path there, below its base's `content`.
        said: why it was not copied, and what to do; empty where the base's refusal says it.
        name: its name here; empty when it has none.
    """

    path: str
    fate: Fate
    said: str = ""
    name: str = ""


@dataclass(slots=True)
class BaseOutcome:
    """One base of the old installation, by its name there.

    Attributes:
        refusal: why nothing of it was taken over, and what to do; empty when it was.
        is_new: it was made.
        files: those in its folder, and those on record without one.
        records_taken, records_here: file records taken over now, and before.
        remarks: sentences about what is different here.
    """

    name: str
    refusal: str = ""
    is_new: bool = False
    files: list[FileOutcome] = field(default_factory=list)
    records_taken: int = 0
    records_here: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Counter[Fate]:
        """How many files had which fate."""
        return Counter(file.fate for file in self.files)


@dataclass(slots=True)
class ImportReport:
    """All that was done.

    Attributes:
        rows_copied: from a database of this program; None when there was none.
        turns_taken, turns_here: questions with their answers, taken over now and before.
        remarks: sentences about what was left behind.
    """

    bases: list[BaseOutcome] = field(default_factory=list)
    rows_copied: int | None = None
    turns_taken: int = 0
    turns_here: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Files that were to be taken over and were not, and bases of which nothing was."""
        return sum(bool(base.refusal) + base.counts[Fate.FAILED] for base in self.bases)

    @property
    def is_changed(self) -> bool:
        """Whether anything here is other than before."""
        changes = (base.is_new or base.records_taken or base.counts[Fate.COPIED] for base in self.bases)
        return bool(self.turns_taken or self.rows_copied or any(changes))
