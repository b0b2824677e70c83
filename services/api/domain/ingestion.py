"""The indexing of a file as a job: what is remembered of it, and how far it has got."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.api.domain.knowledge import FileId, SplitterChoice


@dataclass(frozen=True, slots=True)
class IngestJob:
    """The indexing of one version of a file, kept until it is over, so that a crash costs at most a batch.

    Attributes:
        file_id: of the file; it has one job at a time.
        sha256: of the content it is for.
        splitter: how that is cut.
        attempt: how often it was begun since it last got on.
        is_staged: all its chunks are kept, unseen by readers; reading the file is done.
        warnings: sentences about what was not read.
        loader, splitter_class: the classes that made the chunks; empty before.
    """

    file_id: FileId
    sha256: str
    splitter: SplitterChoice
    attempt: int = 0
    is_staged: bool = False
    warnings: tuple[str, ...] = ()
    loader: str = ""
    splitter_class: str = ""


class JobLost(Exception):
    """What was done of a job must be left as it is."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The right to work on a job. It runs out unless it is renewed, so that nobody waits for the dead.

    Attributes:
        holder: the process that has it, by a name that it has again after a restart.
        seconds: how long it lasts from the time it is given.
    """

    holder: str
    seconds: float

    @property
    def until(self) -> datetime:
        """When a hold given now runs out."""
        return datetime.now(UTC) + timedelta(seconds=self.seconds)


class Stage(enum.StrEnum):
    """What is being done for a file that is not searchable yet."""

    WAITING = "waiting"
    READING = "reading"
    INDEXING = "indexing"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file has got: pages, rows or slides read, or chunks indexed; and of how many, None if unknown."""

    stage: Stage
    done: int = 0
    total: int | None = None
