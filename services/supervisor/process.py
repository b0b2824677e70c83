"""One child process: started in a session of its own, its output kept in a log file, ended with its whole group.

Used by `supervisor.py`. `Guard` ends the groups when the supervisor itself is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from logging.handlers import RotatingFileHandler

from services.foundation.settings.tree import Logging
from services.supervisor import guard
from services.supervisor.plan import ProcessSpec

_PR_SET_PDEATHSIG = 1
_READ_BYTES = 65536
_TAIL_LINES = 20
_GROUP_POLL_SECONDS = 0.05

CHILD_ENVIRONMENT: Mapping[str, str] = {
    "GRPC_ENABLE_FORK_SUPPORT": "0",  # no child goes on without exec; gRPC would log a line for each one started
    "HF_HUB_OFFLINE": "1",
    "LOGDIR": "",  # FastChat writes log files into the working folder otherwise
    "PYTHONUNBUFFERED": "1",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    "TOKENIZERS_PARALLELISM": "false",
}


def open_log(name: str, settings: Logging) -> RotatingFileHandler:
    """The rotating log file of the process called `name`."""
    return RotatingFileHandler(
        settings.folder / f"{name}.log",
        maxBytes=settings.file_bytes,
        backupCount=settings.files_kept,
        encoding="utf-8",
        delay=True,
    )


class Guard:
    """The helper process that ends the children's groups when this process dies without doing so."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", guard.__file__),
            stdin=PIPE,
            stdout=DEVNULL,
            stderr=DEVNULL,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        self._write(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._write(f"-{group}\n")

    def _write(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(line.encode())

    async def stop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()


class Process:
    """One child at a time, described by a spec; it can be started again after it ended."""

    def __init__(self, spec: ProcessSpec, log: RotatingFileHandler, watchdog: Guard) -> None:
        self.spec = spec
        self._output = _Output(log)
        self._guard = watchdog
        self._child: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the running child, which is its group's id as well."""
        return None if self._child is None else self._child.pid

    @property
    def tail(self) -> list[str]:
        """The last lines it wrote."""
        return self._output.tail

    async def start(self) -> None:
        """Spawn the child.

        Raises:
            OSError: the command cannot be executed.
        """
        self._output.mark(f"--- starting: {' '.join(self.spec.command)}")
        with self._output.pipe() as writable:
            self._child = await asyncio.create_subprocess_exec(
                *self.spec.command,
                stdin=DEVNULL,
                stdout=writable,
                stderr=writable,
                env=_environment(self.spec.environment),
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )
        self._guard.watch(self._child.pid)

    async def wait(self) -> int:
        """Wait for the child's end; returns its exit code, -N for signal N."""
        return 0 if self._child is None else await self._child.wait()

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to the child's whole group; False when nobody is left in it."""
        return self._child is not None and _signal_group(self._child.pid, number)

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM to the group, SIGKILL to what is left of it after the grace. Harmless when it has ended."""
        child = self._child
        if child is None:
            return
        with contextlib.suppress(TimeoutError):
            _signal_group(child.pid, signal.SIGTERM)
            async with asyncio.timeout(grace_seconds):
                await child.wait()
                while _signal_group(child.pid, 0):  # noqa: ASYNC110 - nothing tells when a group is empty
                    await asyncio.sleep(_GROUP_POLL_SECONDS)
        _signal_group(child.pid, signal.SIGKILL)
        await child.wait()
        self._guard.forget(child.pid)
        self._output.close_pipe()
        self._child = None

    def close(self) -> None:
        """Close the log file; the process is not started again."""
        self._output.close()


class _Output:
    """What a child writes: into a pipe we own, from there line by line into the log file.

    asyncio's own pipes would make `wait` last until grandchildren that inherited them have ended too.
    """

    def __init__(self, log: RotatingFileHandler) -> None:
        self._log = log
        self._lines: deque[str] = deque(maxlen=_TAIL_LINES)
        self._readable: int | None = None
        self._partial = b""

    @property
    def tail(self) -> list[str]:
        return list(self._lines)

    @contextlib.contextmanager
    def pipe(self) -> Iterator[int]:
        """The end the child writes to; closed on our side when the block ends."""
        self._release()
        readable, writable = os.pipe()
        os.set_blocking(readable, False)
        self._readable = readable
        asyncio.get_running_loop().add_reader(readable, self._read)
        try:
            yield writable
        finally:
            os.close(writable)

    def mark(self, line: str) -> None:
        self._log.emit(logging.makeLogRecord({"msg": line}))

    def close_pipe(self) -> None:
        self._read()  # a pipe holds no more than one read takes
        self._release()

    def close(self) -> None:
        self.close_pipe()
        self._log.close()

    def _read(self) -> None:
        if self._readable is None:
            return
        try:
            received = os.read(self._readable, _READ_BYTES)
        except BlockingIOError:
            return
        if not received:
            self._release()
            return
        *lines, self._partial = (self._partial + received).split(b"\n")
        if len(self._partial) >= _READ_BYTES:
            lines, self._partial = [*lines, self._partial], b""
        for line in lines:
            self._keep(line)

    def _keep(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        self._lines.append(text)
        self.mark(text)

    def _release(self) -> None:
        if self._readable is None:
            return
        asyncio.get_running_loop().remove_reader(self._readable)
        os.close(self._readable)
        self._readable = None
        if self._partial:
            self._keep(self._partial)
            self._partial = b""


def _environment(additions: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **CHILD_ENVIRONMENT, **additions}  # noqa: TID251 - children inherit the environment


def _die_with_parent() -> Callable[[], None] | None:
    """Runs in the child before it becomes its command: SIGTERM when the supervisor is gone, however it went."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # the latter: macOS, when only a zombie is left
        return False
    return True
