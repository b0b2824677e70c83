"""FastChat's own controller class, imported without the traces its import leaves. Subclassed by `fleet.py`.

Importing `fastchat.serve.controller` replaces sys.stdout and sys.stderr, reformats the root log handler and opens
`controller.log` in the working directory. All of that is undone here, and nowhere else is FastChat imported.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _undisturbed() -> Iterator[None]:
    root, httpx = logging.getLogger(), logging.getLogger("httpx")
    kept = (sys.stdout, sys.stderr, root.handlers[:], httpx.level)
    root.handlers[:] = [logging.NullHandler()]  # the one FastChat gives its format to
    try:
        yield
    finally:
        sys.stdout, sys.stderr, root.handlers[:] = kept[:3]
        httpx.setLevel(kept[3])


with _undisturbed():
    from fastchat import constants

    constants.LOGDIR = ""  # FastChat's switch for "no log files"; read once, when fastchat.utils is imported
    from fastchat.constants import CONTROLLER_HEART_BEAT_EXPIRATION, ErrorCode
    from fastchat.serve.controller import Controller, DispatchMethod

logging.getLogger("controller").setLevel(logging.WARNING)  # FastChat logs every dispatch

__all__ = ["CONTROLLER_HEART_BEAT_EXPIRATION", "Controller", "DispatchMethod", "ErrorCode"]
