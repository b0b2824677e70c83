"""Scratch: a folder for each process that reads files, and the removal of those that a crash left. Used by `pool`."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


class Scratch:
    """The scratch folders of this process's children: `<root>/<pid of this process>/<one a child>`; blocking."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._own = self._root / str(os.getpid())

    def make(self) -> Path:
        """A new folder; those of processes that are no more go first."""
        if not self._own.is_dir():
            for left in self._root.glob("[0-9]*"):
                if not Path(f"/proc/{left.name}").exists():
                    shutil.rmtree(left, ignore_errors=True)
            self._own.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=self._own))

    def remove(self) -> None:
        """Remove them all."""
        shutil.rmtree(self._own, ignore_errors=True)
