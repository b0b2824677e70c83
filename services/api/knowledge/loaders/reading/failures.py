"""The edge to third-party parsers: whatever they raise becomes UnreadableFile; no text becomes EmptyFile."""

from __future__ import annotations

import logging
import warnings as python_warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from services.api.domain.knowledge import Document, Section, SourceFile
from services.foundation.errors import ChatchatError, EmptyFile, UnreadableFile

log = logging.getLogger(__name__)


@contextmanager
def reading(file: SourceFile) -> Iterator[None]:
    """Turn whatever a parser raises into UnreadableFile. Its message may hold a path, so only the log has it.

    Parsers' warnings (odd styles, XML read as HTML) say nothing a reader of the text needs.
    """
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            yield
    except (ChatchatError, MemoryError):  # the second is told by who set the limit
        raise
    except FileNotFoundError as gone:
        raise UnreadableFile(file=file.name.value, reason="it is no longer there") from gone
    except Exception as failure:
        log.info("reading %r failed", file.name.value, exc_info=True)
        reason = f"its content is damaged or is not what its name says ({type(failure).__name__})"
        raise UnreadableFile(file=file.name.value, reason=reason) from failure


def check_size(file: SourceFile) -> None:
    """Raise EmptyFile for a file of zero bytes."""
    if file.path.stat().st_size == 0:
        raise EmptyFile(file=file.name.value, reason="it has zero bytes")


def document(
    file: SourceFile, sections: Sequence[Section], warnings: Sequence[str] = (), *, empty: str = ""
) -> Document:
    """The sections as a document.

    Raises:
        EmptyFile: no section holds a letter, a digit or a symbol.
    """
    kept = tuple(section for section in sections if section.text and not section.text.isspace())
    if not kept:
        raise EmptyFile(file=file.name.value, reason=empty or "there is nothing in it but white space or markup")
    return Document(kept, tuple(warnings))
