"""`python -m services.api.knowledge.parsing.child MEMORY_BYTES SCRATCH`: reads and cuts the files it is told to.

Started by `pool` only, which keeps the limits. Whatever a library prints goes to the log, not between the messages.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

from services.api.domain.knowledge import Document, Parsed, Passage, SourceFile
from services.api.domain.ports import Loader, PartLoader
from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.loaders.reading.streams import parts_of
from services.api.knowledge.parsing.confinement import confine
from services.api.knowledge.parsing.kinds import content_extension
from services.api.knowledge.parsing.messages import (
    PASSAGES_PER_LINE,
    Task,
    end_fields,
    failure_fields,
    passage_fields,
    to_line,
)
from services.api.knowledge.splitters import SPLITTERS
from services.foundation import logs
from services.foundation.errors import ChatchatError, EmptyFile, ReadingTooDemanding

log = logging.getLogger(__name__)
_PROGRESS_SECONDS = 0.2


class Teller:
    """Writes messages to the pool."""

    def __init__(self, line: BinaryIO) -> None:
        self._line = line
        self._told_at = 0.0

    def progress(self, done: int, total: int | None) -> None:
        """Tell how far the file has been read, a few times a second at most."""
        now = time.monotonic()
        if now - self._told_at >= _PROGRESS_SECONDS or done == total:
            self._told_at = now
            self.tell({"progress": (done, total)})

    def passages(self, passages: Sequence[Passage]) -> None:
        """Tell some passages of the file."""
        for start in range(0, len(passages), PASSAGES_PER_LINE):
            batch = passages[start : start + PASSAGES_PER_LINE]
            self.tell({"passages": [passage_fields(passage) for passage in batch]})

    def tell(self, message: object) -> None:
        """Write one message."""
        self._line.write(to_line(message))
        self._line.flush()


def parse(task: Task, teller: Teller) -> Parsed:
    """Load and split one file, part by part where its loader can, and tell its passages; the rest of it.

    Raises what loaders raise, and EmptyFile when nothing was left to index.
    """
    source = replace(task.file, report=teller.progress)
    loader, warnings = loader_for(source)
    splitter = SPLITTERS.build(task.splitter, **task.options)
    is_empty = True
    for part in loader.parts(source) if isinstance(loader, PartLoader) else _cut(loader.load(source)):
        passages = splitter.split(part)
        teller.passages(passages)
        warnings = (*warnings, *part.warnings)
        is_empty = is_empty and not passages
    if is_empty:
        raise EmptyFile(file=source.name.value, reason="no text was found in it")
    return Parsed((), warnings, type(loader).__name__, type(splitter).__name__)


def _cut(whole: Document) -> Iterator[Document]:
    """What was loaded in one go, in parts, so that passages are told while the rest of it is cut."""
    yield from parts_of(whole.sections)
    yield Document((), whole.warnings)


def loader_for(source: SourceFile) -> tuple[Loader, tuple[str, ...]]:
    """The loader of what the file is by its content; and, where its name says otherwise, a sentence about that."""
    named = source.name.extension
    loader = LOADERS.build(named)
    actual = content_extension(source.path)
    if actual is None or actual not in LOADERS or LOADERS.load(actual) is type(loader):
        return loader, ()
    return LOADERS.build(actual), (f"its name ends in {named}, but it is a {actual} file, and was read as one",)


def answer(task: Task, teller: Teller, memory_bytes: int) -> None:
    """Do one task; whatever goes wrong is told, so that the process may go on with the next."""
    try:
        teller.tell({"end": end_fields(parse(task, teller))})
    except ChatchatError as failure:
        teller.tell({"failure": failure_fields(failure)})
    except MemoryError:
        too_much = ReadingTooDemanding(file=task.name, limit_mb=memory_bytes // 1_000_000)
        teller.tell({"failure": failure_fields(too_much)})
    except Exception as failure:
        log.exception("reading %r failed", task.name)
        teller.tell({"failure": failure_fields(ChatchatError(reason=type(failure).__name__))})


def main() -> None:
    """Serve tasks until the pool closes the line."""
    memory_bytes, scratch = int(sys.argv[1]), sys.argv[2]
    confine(memory_bytes)
    tempfile.tempdir = scratch
    logs.configure("parser", "WARNING")
    with os.fdopen(os.dup(1), "wb") as line:
        os.dup2(2, 1)
        teller = Teller(line)
        for request in sys.stdin.buffer:
            answer(Task.from_line(request), teller, memory_bytes)


if __name__ == "__main__":
    main()
