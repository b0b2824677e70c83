"""How far a PDF has been read. `loader.py` beside makes one for each file and hands it to what takes long."""

from __future__ import annotations

from services.api.domain.knowledge import SourceFile

_STAGES = 3


class PageSteps:
    """Tells how many pages are done. Each is checked, read and cut, and two of these three do not make it done.

    The count never falls and never passes that of the pages, which the check does not know yet.
    """

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._taken = 0
        self._done = 0
        self._count: int | None = None

    def begin(self, count: int) -> None:
        """All of `count` pages are checked; the check of a damaged file may have met fewer, or more."""
        self._count = count
        self._taken = count
        self.stay()

    def take(self, steps: int = 1) -> None:
        """A page has passed a stage, or several."""
        self._taken += steps
        self._done = max(self._done, self._taken // _STAGES)
        self.stay()

    def stay(self) -> None:
        """Tell that the reader is still alive within a page."""
        self._file.report(self._done if self._count is None else min(self._done, self._count), self._count)
