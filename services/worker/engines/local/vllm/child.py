"""One run of vLLM's server: in a session of its own, its output in our log, ended with everything it started."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from services.worker.engines.local.vllm.arguments import ROOT, Command

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_READ_BYTES = 65536
_TAIL_LINES = 400
_LINE_CHARS = 2000
_LAST_WORDS_SECONDS = 0.3
_POLL_SECONDS = 0.05
_KILL_SECONDS = 10.0
_LINE_ENDS = re.compile(rb"[\r\n]+")
_NOT_INHERITED = re.compile(r"CHATCHAT_.*|(?:http|https|all|no|ftp)_proxy", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Output:
    """A pipe we own: with asyncio's own, `wait` would last until orphans that inherited it have ended too."""

    reader: asyncio.StreamReader
    transport: asyncio.ReadTransport

    @classmethod
    async def of(cls, readable: int) -> _Output:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(readable, "rb", buffering=0)
        )
        return cls(reader, transport)


class Child:
    """vLLM's server and the processes it starts: they are one process group."""

    def __init__(self, process: asyncio.subprocess.Process, output: _Output) -> None:
        self._process = process
        self._output = output
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._reading = asyncio.create_task(self._read(output.reader))

    @classmethod
    async def start(cls, command: Command) -> Child:
        """Start it. Raises OSError when the program is not there."""
        readable, writable = os.pipe()
        output = await _Output.of(readable)
        try:
            process = await asyncio.create_subprocess_exec(
                *command.arguments,
                cwd=ROOT,
                env=_environment(command),
                stdin=DEVNULL,
                stdout=writable,
                stderr=STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )
        except OSError:
            output.transport.close()
            raise
        finally:
            os.close(writable)
        log.info("vLLM's server starts as process %d", process.pid)
        return cls(process, output)

    @property
    def tail(self) -> list[str]:
        """The last lines it wrote."""
        return list(self._tail)

    @property
    def has_ended(self) -> bool:
        """The server is no more; whatever its return code, nobody asked it to leave."""
        return self._process.returncode is not None

    async def wait(self) -> int:
        """Until it has ended and its last words are read; the return code."""
        code = await self._process.wait()
        with contextlib.suppress(TimeoutError):  # what it has orphaned keeps the pipe open
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await asyncio.shield(self._reading)
        return code

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM, so that it removes its shared memory, and SIGKILL to the group: an orphan would keep the GPU."""
        group = self._process.pid
        if not self.has_ended:
            _signal(group, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_seconds):
                    await self._process.wait()
        _signal(group, signal.SIGKILL)
        await self._process.wait()
        await _gone(group)
        self._output.transport.close()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self, output: asyncio.StreamReader) -> None:
        rest = b""
        while received := await output.read(_READ_BYTES):
            *lines, rest = _LINE_ENDS.split(rest[-_READ_BYTES:] + received)
            for line in lines:
                self._keep(line)
        self._keep(rest)

    def _keep(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()[:_LINE_CHARS]
        if text:
            self._tail.append(text)
            log.info("vllm: %s", text)


def _environment(command: Command) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 - the child inherits it, without our settings and proxies
        if not _NOT_INHERITED.fullmatch(name)
    }
    return {**inherited, **command.environment}


def _die_with_parent() -> Callable[[], None] | None:
    """Runs in the child before it becomes vLLM: SIGTERM when the worker is gone, however it went."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel


def _signal(group: int, number: int) -> bool:
    """Whether anybody was there to get it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS, for a group of zombies
        return False
    return True


async def _gone(group: int) -> None:
    """Until nobody of the group is left; the kernel may take its time to free a GPU's memory."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_KILL_SECONDS):
            while _signal(group, 0):  # noqa: ASYNC110 - nothing tells when a group is empty
                await asyncio.sleep(_POLL_SECONDS)
            return
    log.error("processes of group %d are still there %g seconds after SIGKILL", group, _KILL_SECONDS)
