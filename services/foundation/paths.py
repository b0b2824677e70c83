"""Safe joins inside a root, and atomic writes. Everything that makes a path from a name comes through here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from services.foundation.errors import InvalidName


def join_inside(root: Path, *parts: str) -> Path:
    """Join `parts` below `root`, resolving links, and prove that the result stays below `root`.

    Raises:
        InvalidName: the result would lie outside `root`, or a part cannot be a path.
    """
    base = root.resolve()
    try:
        joined = base.joinpath(*parts).resolve()
    except (OSError, ValueError, RuntimeError) as failure:  # RuntimeError: a circle of links
        raise InvalidName(what="The path", name="/".join(parts), reason="it cannot be a path") from failure
    if joined == base or not joined.is_relative_to(base):
        raise InvalidName(what="The path", name="/".join(parts), reason="it leads outside its folder")
    return joined


@contextmanager
def atomic_write(target: Path) -> Iterator[IO[bytes]]:
    """Write a file so that readers see the old content or all of the new, never a part.

    The content goes to a hidden file in the same folder, is flushed to disk and then renamed over `target`.
    On an error inside the block nothing is left behind.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".incoming-", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
