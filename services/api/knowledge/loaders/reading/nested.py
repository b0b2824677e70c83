"""Parts of a file (attachments, archive members), read through the shelf within one budget for all that is nested."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.domain.names import FileName
from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.loaders.reading.cleaning import clean_line
from services.api.knowledge.loaders.reading.failures import reading
from services.foundation.errors import ChatchatError, InvalidName, UnreadableFile

_PART_LIMIT = 500
_DEPTH_LIMIT = 5
_TOTAL_LIMIT_BYTES = 200_000_000
_RATIO_LIMIT = 300
_RATIO_FREE_BYTES = 20_000_000
_BLOCK_BYTES = 1 << 20
_NAME_CHARS = 120
_NOTE_LIMIT = 30


class _Budget:
    """What may still be read below one outermost file."""

    def __init__(self, packed_bytes: int) -> None:
        self.bomb = ""
        self._packed_bytes = max(packed_bytes, 1)
        self._unpacked_bytes = 0
        self._parts = 0
        self._depth = 0

    @contextmanager
    def spent_on(self, name: FileName) -> Iterator[None]:
        """Count a part in, for as long as it and what it holds are read."""
        if self._depth >= _DEPTH_LIMIT:
            raise UnreadableFile(file=name.value, reason=f"it lies more than {_DEPTH_LIMIT} levels deep")
        if self._parts >= _PART_LIMIT:
            raise UnreadableFile(file=name.value, reason=f"at most {_PART_LIMIT} parts of a file are read")
        self._parts += 1
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def unpack(self, name: FileName, size_bytes: int) -> None:
        """Count unpacked bytes before they are written."""
        self._unpacked_bytes += size_bytes
        if self._unpacked_bytes > max(_RATIO_FREE_BYTES, self._packed_bytes * _RATIO_LIMIT):
            self.bomb = f"its parts unpack to more than {_RATIO_LIMIT} times its size, which looks like an archive bomb"
            raise UnreadableFile(file=name.value, reason=self.bomb)
        if self._unpacked_bytes > _TOTAL_LIMIT_BYTES:
            reason = f"the parts of a file are read up to {_TOTAL_LIMIT_BYTES // 1_000_000} MB together"
            raise UnreadableFile(file=name.value, reason=reason)


# Loaders call loaders through their one public method, which has no place for a budget; a context variable belongs to
# the thread that reads the outermost file and is reset when that file has been read.
_BUDGET: ContextVar[_Budget | None] = ContextVar("budget of nested parts", default=None)


class Parts:
    """Takes a file's parts one by one; keeps what was read of them and what was not."""

    def __init__(self, file: SourceFile, budget: _Budget) -> None:
        self.sections: list[Section] = []
        self.failures: list[ChatchatError] = []
        self._file = file
        self._budget = budget
        self._told: tuple[int, int | None] = (0, None)
        self._notes: list[str] = []
        self._unnoted = 0

    @property
    def warnings(self) -> list[str]:
        """Sentences about what was not read; very many are counted."""
        rest = [f"{self._unnoted} more notes about parts are left out"] if self._unnoted else []
        return [*self._notes, *rest]

    def tell(self, done: int, total: int) -> None:
        """Tell how many parts are done, of how many."""
        self._told = (done, total)
        self._file.report(done, total)

    def add(self, name: str, unpack: Callable[[], IO[bytes]], extension: str = "") -> None:
        """Read a part with the loader for its kind.

        Args:
            name: as the file has it; it is only shown, never used as a path.
            unpack: opens the part's content; not called when no loader reads such a part.
            extension: the kind to fall back on when the name's ending says nothing.
        """
        kind = next((kind for kind in (_ending(name), extension) if kind in LOADERS), "")
        if kind:
            part = _file_name(name, kind)
            self.inside(name, lambda: self._through_shelf(part, kind, unpack), part)
        else:
            ending = _ending(name) or extension
            kind = f"{ending} files" if ending else "files without an extension"
            self.skip(name, f"no loader reads {kind}")

    def inside(self, name: str, load: Callable[[], Document], part: FileName | None = None) -> None:
        """Read a part that `load` finds in the file itself, such as an attached message."""
        part = part or _file_name(name, "")
        try:
            with self._budget.spent_on(part), reading(replace(self._file, name=part)):
                found = load()
        except ChatchatError as failure:
            if self._budget.bomb:
                raise UnreadableFile(file=self._file.name.value, reason=self._budget.bomb) from failure
            self.failures.append(failure)
            self.skip(name, reason_of(failure))
            return
        title = shown(name)
        self.sections.extend(below(title, _named(title, found.sections)))
        for warning in found.warnings:
            self._note(f"{title}: {warning}")

    def skip(self, name: str, reason: str) -> None:
        """Note that a part was not read."""
        self._note(f"the part {shown(name)!r} was not read: {reason}")

    def _note(self, note: str) -> None:
        if len(self._notes) < _NOTE_LIMIT:
            self._notes.append(note)
        else:
            self._unnoted += 1

    def _through_shelf(self, part: FileName, kind: str, unpack: Callable[[], IO[bytes]]) -> Document:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"part{kind}"
            with unpack() as stream, path.open("wb") as handle:
                while block := stream.read(_BLOCK_BYTES):
                    self._budget.unpack(part, len(block))
                    handle.write(block)
            # How far a part is says nothing about the whole, but that its reader is alive.
            alive = partial(self._file.report, *self._told)
            inner = SourceFile(part, path, cache=self._file.cache, report=lambda _done, _total: alive())
            return LOADERS.build(kind).load(inner)


@contextmanager
def parts_of(file: SourceFile) -> Iterator[Parts]:
    """Open a file for reading its parts; the outermost file brings the budget."""
    budget = _BUDGET.get()
    if budget is not None:
        yield Parts(file, budget)
        return
    budget = _Budget(file.path.stat().st_size)
    token = _BUDGET.set(budget)
    try:
        yield Parts(file, budget)
    finally:
        _BUDGET.reset(token)


def read_as(file: SourceFile, kind: str, content: bytes) -> Document:
    """Read content that is the file's own text (a mail's body) as the shelf reads files of the kind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"content{kind}"
        path.write_bytes(content)
        return LOADERS.build(kind).load(SourceFile(file.name, path, cache=file.cache))


def below(title: str, sections: Iterable[Section]) -> list[Section]:
    """The sections with a title in front of each heading path that does not begin with it."""
    return [
        replace(section, place=replace(section.place, heading=(title, *section.place.heading)))
        if title and section.place.heading[:1] != (title,)
        else section
        for section in sections
    ]


def shown(name: str) -> str:
    """A part's name for people: its end, where file name and extension stand, when it is long."""
    line = clean_line(name.replace("\\", "/")) or "unnamed"
    return line if len(line) <= _NAME_CHARS else f"…{line[1 - _NAME_CHARS :]}"


def reason_of(failure: ChatchatError) -> str:
    """Why a part was not read, without its name."""
    return str(failure.facts.get("reason") or "it is protected by a password")


def _named(title: str, sections: tuple[Section, ...]) -> Iterator[Section]:
    """The name as text too, beside the first section, so that a search for it finds the part."""
    first = sections[0]
    if not first.text.startswith(title):
        yield Section(title, first.place)
    yield from sections


def _ending(name: str) -> str:
    return FileName(_last_component(name)).extension


def _last_component(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2].strip()


def _file_name(name: str, kind: str) -> FileName:
    """The name a loader sees; a plain one stands in for one that is not allowed."""
    last = clean_line(_last_component(name))
    ending = "" if last.lower().endswith(kind) else kind
    try:
        return FileName.parse(f"{last}{ending}")
    except InvalidName:
        return FileName(f"part{kind}")
