"""What an inspection found: faults, how many, and whether they were repaired; in sentences for consoles and logs."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from services.api.domain.names import FileName, KnowledgeBaseName

_NAMES_SHOWN = 10


class Verdict(enum.StrEnum):
    """What became of a fault. NOTED: it is none, and is said so that nobody takes it for one."""

    REPAIRED = "repaired"
    NEEDS_PERSON = "needs a person"
    NOTED = "noted"


class Fault(enum.StrEnum):
    """In what disk, database and indexes differ."""

    WAITING_WITHOUT_JOB = "waiting_without_job"
    CHANGED_CONTENT = "changed_content"
    LOST_CONTENT = "lost_content"
    NO_RECORD = "no_record"
    INDEXING_FAILED = "indexing_failed"
    ORPHAN_VECTORS = "orphan_vectors"
    ORPHAN_KEYWORDS = "orphan_keywords"
    MISSING_VECTORS = "missing_vectors"
    MISSING_KEYWORDS = "missing_keywords"
    NOT_EMBEDDED = "not_embedded"
    UNREADABLE_TEXTS = "unreadable_texts"
    UNKNOWN_VECTORS = "unknown_vectors"
    UNKNOWN_KEYWORDS = "unknown_keywords"
    FOREIGN_BASES = "foreign_bases"
    UNFINISHED = "unfinished"


_REPAIRED, _NEEDS_PERSON = Verdict.REPAIRED, Verdict.NEEDS_PERSON
_SAID = {
    Fault.WAITING_WITHOUT_JOB: (_REPAIRED, "files that were to be indexed had no job and are in line again: {files}"),
    Fault.CHANGED_CONTENT: (_REPAIRED, "files changed since they were indexed, and are in line again: {files}"),
    Fault.LOST_CONTENT: (
        _NEEDS_PERSON,
        "files on record are not in the folder: {files}. Put them back, or run init_database.py --prune-db",
    ),
    Fault.NO_RECORD: (
        _NEEDS_PERSON,
        "files in the folder have no record: {files}. Run init_database.py -i, or --prune-folder to delete them",
    ),
    Fault.INDEXING_FAILED: (_NEEDS_PERSON, "files that were put in line could not be indexed: {files}"),
    Fault.ORPHAN_VECTORS: (_REPAIRED, "vectors belonged to no chunk and were removed"),
    Fault.ORPHAN_KEYWORDS: (_REPAIRED, "entries of the keyword index belonged to no chunk and were removed"),
    Fault.MISSING_VECTORS: (_REPAIRED, "chunks had no vector and were embedded again"),
    Fault.MISSING_KEYWORDS: (_REPAIRED, "chunks were missing in the keyword index and were added from their text"),
    Fault.NOT_EMBEDDED: (_NEEDS_PERSON, "chunks have no vector and could not be embedded: {reason}"),
    Fault.UNREADABLE_TEXTS: (
        Verdict.NOTED,
        "chunks have no vector because the embedding model cannot read them; they are found by their words",
    ),
    Fault.UNKNOWN_VECTORS: (
        _REPAIRED,
        "collections of vectors belonged to no knowledge base and were dropped",
    ),
    Fault.UNKNOWN_KEYWORDS: (_REPAIRED, "keyword tables belonged to no knowledge base and were dropped"),
    Fault.FOREIGN_BASES: (
        _NEEDS_PERSON,
        (
            "knowledge bases that an index keeps are not in this database and were left alone; is it the right one, "
            "or does another installation use the same server?"
        ),
    ),
    Fault.UNFINISHED: (_NEEDS_PERSON, "check could not be finished: {reason}"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault, how often it was found, and what is to be said of it.

    Attributes:
        count: of files, chunks or bases.
        files: concerned, where it is about files.
        reason: why a repair failed, as a sentence.
    """

    fault: Fault
    count: int
    files: tuple[FileName, ...] = ()
    reason: str = ""

    @property
    def verdict(self) -> Verdict:
        """What became of it."""
        return _SAID[self.fault][0]

    @property
    def sentence(self) -> str:
        """In English, with at most ten names."""
        shown = ", ".join(map(str, self.files[:_NAMES_SHOWN]))
        names = f"{shown}, …" if len(self.files) > _NAMES_SHOWN else shown
        return f"{self.verdict}: {self.count} {_SAID[self.fault][1].format(files=names, reason=self.reason)}"


@dataclass(frozen=True, slots=True)
class BaseFindings:
    """One base: how many files and chunks were compared, and what was found."""

    base: KnowledgeBaseName
    files: int
    chunks: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class InspectionReport:
    """All bases that were looked at, and what belongs to none."""

    bases: tuple[BaseFindings, ...]
    rest: tuple[Finding, ...] = ()

    @property
    def findings(self) -> list[Finding]:
        """All of them."""
        found = [finding for seen in self.bases for finding in seen.findings]
        return [*found, *(finding for finding in self.rest if finding.count)]

    @property
    def needs_person(self) -> bool:
        """Whether something is left that no program should decide."""
        return any(finding.verdict is Verdict.NEEDS_PERSON for finding in self.findings)

    def lines(self) -> Iterator[str]:
        """The report, a base after the other."""
        for seen in self.bases:
            yield f"{seen.base}: {seen.files} files, {seen.chunks} chunks compared"
            yield from (f"  {finding.sentence}" for finding in seen.findings)
        yield from (finding.sentence for finding in self.rest if finding.count)
