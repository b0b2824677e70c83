"""What a child process that reads files gives up before it reads any: memory, files, programs, connections."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_NICENESS = 10
_OPEN_FILES = 256
_WRITTEN_BYTES = 200_000_000
_MEMORY_SLACK = 2
_FORBIDDEN = frozenset(
    {
        "socket.connect",
        "socket.bind",
        "socket.sendto",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "subprocess.Popen",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.spawn",
        "os.system",
        "pty.spawn",
    }
)
"""Audit events (docs.python.org, "Audit events table") of what no reader of files has any business with."""


def confine(memory_bytes: int) -> None:
    """Give up what reading a file does not need, for the rest of this process.

    The memory limit here is a backstop, twice the real one, which the pool keeps by watching: a child that allocates
    faster than it is watched meets a MemoryError.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl+C is meant for the parent, which ends its children
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(_NICENESS)  # questions go before files
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _lower(resource.RLIMIT_FSIZE, _WRITTEN_BYTES)
    _lower(resource.RLIMIT_DATA, memory_bytes * _MEMORY_SLACK)
    sys.addaudithook(_refuse)


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    most = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (most, most))


def _refuse(event: str, _: tuple[object, ...]) -> None:
    if event in _FORBIDDEN:
        raise PermissionError(f"a process that reads files may not do this: {event}")
