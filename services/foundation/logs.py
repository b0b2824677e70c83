"""One log format for every process; called from `__main__` modules only. The supervisor keeps the files."""

from __future__ import annotations

import logging
import sys
import time

_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)-7s {service} %(name)s: %(message)s"
_QUIET = (
    "httpx",
    "httpcore",
    "pymilvus",
    "jieba",
    "urllib3",
    "aiosqlite",
    "alembic",
    "sentence_transformers",
    "watchdog",
)


def configure(service: str, level: str = "INFO") -> None:
    """Send every log record of this process to stderr as one line, times in UTC.

    Args:
        service: the process's name, in every line.
        level: DEBUG, INFO, WARNING or ERROR.
    """
    formatter = logging.Formatter(_FORMAT.format(service=service), datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in _QUIET:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for server in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(server).handlers[:] = []
        logging.getLogger(server).propagate = True
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
