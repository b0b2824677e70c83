"""Outlives the supervisor by seconds: when its standard input closes, whatever process groups are left are ended.

Run as a script by `process.py`; standard library only. The kernel's parent-death signal reaches direct children alone
and only asks; this reaches grandchildren too, and insists. It has to: Streamlit, for one, announces its end on a
standard output that nobody reads any more, fails in its signal handler and stays.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable

_GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.05


def remaining_groups(lines: Iterable[str]) -> set[int]:
    """Follow "+<group>" and "-<group>" lines until they end; what was added and not removed remains."""
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    return groups


def end_groups(groups: Iterable[int]) -> None:
    """SIGTERM to every group, and SIGKILL to those that are still there after the grace."""
    left = {group for group in groups if _send(group, signal.SIGTERM)}
    deadline = time.monotonic() + _GRACE_SECONDS
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        left = {group for group in left if _send(group, 0)}
    for group in left:
        _send(group, signal.SIGKILL)


def _send(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    end_groups(remaining_groups(sys.stdin))
