"""One log format for every process; called from `__main__` modules only. The supervisor keeps the files."""

from __future__ import annotations

import logging
import re
import sys
import time

_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)-7s {service} %(name)s: %(message)s"
_QUIET = (
    "faiss",
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

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class _OneLine(logging.Formatter):
    """Escapes control characters of the message, so that no path or name can forge a line. A trace follows as it is."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name logging calls
        return _CONTROL.sub(lambda found: repr(found[0])[1:-1], super().formatMessage(record))


def configure(service: str, level: str = "INFO") -> None:
    """Send every log record of this process to stderr as one line, times in UTC.

    Args:
        service: the process's name, in every line.
        level: DEBUG, INFO, WARNING or ERROR.
    """
    formatter = _OneLine(_FORMAT.format(service=service), datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in _QUIET:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("pdfminer").setLevel(logging.ERROR)  # warns of every odd font
    for server in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(server).handlers[:] = []
        logging.getLogger(server).propagate = True
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
