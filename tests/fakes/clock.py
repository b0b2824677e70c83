"""FrozenClock: stands still until it is moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FrozenClock:
    """Call it for the time.

    Attributes:
        now: what it says.
    """

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 3, 8, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_minutes(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)
