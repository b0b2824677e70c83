"""InspectionSchedule: a check every so many hours, in the background of one process. Started by `Parts`."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.api.knowledge.consistency import Inspection
from services.foundation.errors import ChatchatError
from services.foundation.paths import atomic_write

log = logging.getLogger(__name__)
_LOOK_SECONDS = 60.0
MARKER = ".checked"
"""File in the data folder that holds when the last check of the schedule began, as ISO 8601."""


class InspectionSchedule:
    """Has the inspection run when the last one began longer ago than the period; never because a process starts.

    Only a keyword index that is empty is filled at the start.

    Args:
        inspection: what is to run.
        folder: keeps the marker.
        period: between the beginnings of two checks; None: none is made.
        look_seconds: how often it is seen whether one is due.
    """

    def __init__(
        self, inspection: Inspection, folder: Path, period: timedelta | None, *, look_seconds: float = _LOOK_SECONDS
    ) -> None:
        self._inspection = inspection
        self._marker = folder / MARKER
        self._period = period
        self._look_seconds = look_seconds

    async def keep(self) -> None:
        """Look again and again, for ever. A check that fails is logged; the next one comes in its time."""
        await self._refill()
        while self._period is not None:
            try:
                if await asyncio.to_thread(self._take_turn, self._period):
                    await self._check()
            except (ChatchatError, OSError) as failure:
                log.warning("the consistency check was not finished: %s", failure)
            await asyncio.sleep(self._look_seconds)

    async def _refill(self) -> None:
        try:
            count = await self._inspection.refill_keywords()
        except (ChatchatError, OSError) as failure:
            log.warning("the keyword index was not filled: %s", failure)
        else:
            if count:
                log.info("%d chunks were put into an empty keyword index", count)

    def _take_turn(self, period: timedelta) -> bool:
        """Whether a check is due; if so it counts from now on, so that one that ends the process is not repeated."""
        now = datetime.now(UTC)
        began = self._last(now)
        if began is not None and now - began < period:
            return False
        with atomic_write(self._marker) as target:
            target.write(now.isoformat().encode())
        return began is not None

    def _last(self, now: datetime) -> datetime | None:
        """When the last check began, at the latest now; None when nobody knows."""
        try:
            return min(datetime.fromisoformat(self._marker.read_text(encoding="ascii")), now)
        except (FileNotFoundError, ValueError, TypeError):  # no marker, no time, or one without a zone
            return None

    async def _check(self) -> None:
        log.info("the consistency check begins")
        report = await self._inspection.run()
        level = logging.WARNING if report.needs_person else logging.INFO
        for line in report.lines():
            log.log(level, "consistency check: %s", line)
