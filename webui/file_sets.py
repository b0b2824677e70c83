"""The files that a conversation was handed for a file chat, and what becomes of them. Pure; drawn by components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.wire.chatchat import FileDetails, TemporaryUpload

_MINUTES_PER_HOUR = 60


@dataclass(frozen=True, slots=True)
class FileSet:
    """What a conversation's page knows of its files; the API keeps the rest.

    Attributes:
        id: opens the files at the API; empty: there are none.
        failed: the files of the last upload that failed, each with the sentence why.
        has_expired: there were some, and they were deleted because nobody used them.
    """

    id: str = ""
    failed: tuple[tuple[str, str], ...] = ()
    has_expired: bool = False


def after_upload(answer: TemporaryUpload) -> FileSet:
    """What is known when files were uploaded."""
    return FileSet(answer.id, tuple(pair for failed in answer.failed_files for pair in failed.items()))


def after_failure(known: FileSet, names: Sequence[str], sentence: str) -> FileSet:
    """What is known when an upload failed as a whole: the files of before are still there."""
    return replace(known, failed=tuple((name, sentence) for name in names))


def after_expiry() -> FileSet:
    """What is known when the API keeps the files no longer."""
    return FileSet(has_expired=True)


def unlisted(known: FileSet, listed: Sequence[FileDetails]) -> list[tuple[str, str]]:
    """The failures of files that were not kept at all; those of kept files stand in the list."""
    names = {file.name for file in listed}
    return [(name, sentence) for name, sentence in known.failed if name not in names]


def is_readable(listed: Sequence[FileDetails]) -> bool:
    """Something of them can be found, so that they can be asked about."""
    return any(file.chunk_count for file in listed)


def is_pending(listed: Sequence[FileDetails]) -> bool:
    """Some are still being read."""
    return any(file.state == "pending" for file in listed)


def period_of(minutes: float) -> tuple[str, str]:
    """A time as a catalogue says it: its unit and how many: whole hours, else minutes."""
    if minutes >= _MINUTES_PER_HOUR and minutes % _MINUTES_PER_HOUR == 0:
        return "hours", f"{minutes / _MINUTES_PER_HOUR:.0f}"
    return "minutes", f"{minutes:g}"
