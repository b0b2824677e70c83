"""ParserPool: files are read and cut by child processes that are watched, ended at their limits and replaced."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from services.api.domain.knowledge import Parsed, Passage, SourceFile, SplitterChoice
from services.api.knowledge.parsing.messages import Message, Task, failure_of, from_line, parsed_of, passages_of
from services.api.knowledge.parsing.scratch import Scratch
from services.foundation.errors import ChatchatError, ReadingCrashed, ReadingStalled, ReadingTooDemanding

log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[4]
_CHILD = "services.api.knowledge.parsing.child"
_WATCH_SECONDS = 0.05
_LONGEST_LINE_BYTES = 64_000_000
_IDLE_SHARE = 0.05
_PATIENCE = 4
_USER_TICKS, _SYSTEM_TICKS = 11, 12  # of proc(5)'s stat, counted after the name
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class ParsingLimits:
    """What one file may take.

    Attributes:
        stall_seconds: longest time without progress, of the processor where others want it too.
        limit_seconds: longest time in all.
        memory_bytes: resident memory of the process that reads it.
        files_per_process: files a process reads before a fresh one takes its place.
        idle_seconds: how long a process without work is kept.
    """

    stall_seconds: float
    limit_seconds: float
    memory_bytes: int
    files_per_process: int = 100
    idle_seconds: float = 30.0


class ParserPool:
    """The `Parser` of the product. As many files at a time as callers ask for; they bound that themselves.

    Args:
        limits: on each file.
        scratch: a folder for what readers unpack; each process has one inside, gone when the process is.
    """

    def __init__(self, limits: ParsingLimits, scratch: Path) -> None:
        self._limits = limits
        self._scratch = Scratch(scratch)
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._ending: set[asyncio.Task[None]] = set()

    async def parse(self, file: SourceFile, splitter: SplitterChoice) -> Parsed:
        """As `Parser.parse`; when the caller is cancelled, so is the reading."""
        task = Task.of(file, splitter)
        try:
            return await self._parse_with(self._kept() or await self._started(), task, file)
        except ReadingCrashed as crashed:  # killed from outside, or by the file: a second death tells
            log.warning("%s It is read once more", crashed)
        return await self._parse_with(await self._started(), task, file)

    async def _parse_with(self, child: _Child, task: Task, file: SourceFile) -> Parsed:
        self._busy.add(child)
        try:
            return await child.parse(task, file.report)
        finally:
            self._busy.discard(child)
            self._put_back(child)

    async def stop(self) -> None:
        children = [*self._idle, *self._busy]
        self._idle.clear()
        for child in children:
            self._end(child)
        await asyncio.gather(*self._ending)
        await asyncio.to_thread(self._scratch.remove)

    def _kept(self) -> _Child | None:
        while self._idle:
            child = self._idle.pop()
            child.retire_later(None)
            if child.is_usable:
                return child
            self._end(child)
        return None

    def _put_back(self, child: _Child) -> None:
        if not child.is_usable:
            self._end(child)
            return
        self._idle.append(child)
        child.retire_later(lambda: self._retire(child))

    def _retire(self, child: _Child) -> None:
        if child in self._idle:
            self._idle.remove(child)
            self._end(child)

    def _end(self, child: _Child) -> None:
        child.kill()
        task = asyncio.create_task(child.cleared())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _started(self) -> _Child:
        folder = await asyncio.to_thread(self._scratch.make)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _CHILD, str(self._limits.memory_bytes), str(folder)),
            stdin=PIPE,
            stdout=PIPE,
            cwd=ROOT,
            limit=_LONGEST_LINE_BYTES,
        )
        return _Child(process, self._limits, folder)


class _Child:
    """One process, one file at a time."""

    def __init__(self, process: Process, limits: ParsingLimits, folder: Path) -> None:
        self._folder = folder
        self._process = process
        self._limits = limits
        self._files = 0
        self._is_broken = False
        self._heard_at = self._began_at = self._used_at_sign = 0.0
        self._verdict: ChatchatError | None = None
        self._retiring: asyncio.TimerHandle | None = None
        self._stdin = cast("asyncio.StreamWriter", process.stdin)  # both are pipes: see `_started`
        self._stdout = cast("asyncio.StreamReader", process.stdout)

    @property
    def is_usable(self) -> bool:
        """Whether it may be given another file."""
        alive = self._process.returncode is None and not self._is_broken
        return alive and self._files < self._limits.files_per_process

    async def parse(self, task: Task, report: Callable[[int, int | None], None]) -> Parsed:
        """Have it read one file; it is broken unless that ends in an answer."""
        self._files += 1
        self._is_broken = True
        self._verdict = None
        self._show_sign()
        self._began_at = self._heard_at
        watching = asyncio.create_task(self._watch(task.name))
        try:
            with contextlib.suppress(ConnectionError):  # a process that died is met by what it does not answer
                self._stdin.write(task.to_line())
                await self._stdin.drain()
            outcome = await self._outcome(task.name, report)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        self._is_broken = False
        if isinstance(outcome, ChatchatError):
            raise outcome
        return outcome

    async def _outcome(self, name: str, report: Callable[[int, int | None], None]) -> Parsed | ChatchatError:
        """What it answers: the file, or the failure it met and survived. Raises the one that ended it."""
        passages: list[Passage] = []
        while True:
            message = await self._heard(name)
            if "progress" in message:
                report(*message["progress"])
            elif "passages" in message:
                passages += passages_of(message["passages"])
            elif "failure" in message:
                return failure_of(message["failure"])
            else:
                return parsed_of(passages, message["end"])

    async def _heard(self, name: str) -> Message:
        line = await self._stdout.readline()
        if not line.endswith(b"\n"):
            raise self._verdict or ReadingCrashed(file=name, reason=await self._death())
        self._show_sign()
        return from_line(line)

    def _show_sign(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        self._used_at_sign = processor_seconds(self._process.pid)

    async def _death(self) -> str:
        code = await self._process.wait()
        if code >= 0:
            return f"exit code {code}"
        return signal.Signals(-code).name

    async def _watch(self, name: str) -> None:
        """Until cancelled: end the process at the first limit it passes."""
        loop, limits = asyncio.get_running_loop(), self._limits
        while self._verdict is None:
            await asyncio.sleep(_WATCH_SECONDS)
            now = loop.time()
            if resident_bytes(self._process.pid) > limits.memory_bytes:
                self._verdict = ReadingTooDemanding(file=name, limit_mb=limits.memory_bytes // 1_000_000)
            elif self._is_stalled(now - self._heard_at):
                self._verdict = ReadingStalled(file=name, seconds=round(limits.stall_seconds))
            elif now - self._began_at > limits.limit_seconds:
                self._verdict = ReadingStalled(file=name, seconds=round(limits.limit_seconds))
        log.warning("reading %r is ended: %s", name, self._verdict)
        self.kill()

    def _is_stalled(self, silent_seconds: float) -> bool:
        """Whether it has been silent for the limit, and not because others had the processor.

        One that got some of it, and not yet the limit's worth, is given up to four times as long.
        """
        limit = self._limits.stall_seconds
        if silent_seconds <= limit:
            return False
        used = processor_seconds(self._process.pid) - self._used_at_sign
        return used >= limit or used < _IDLE_SHARE * silent_seconds or silent_seconds > _PATIENCE * limit

    def retire_later(self, retire: Callable[[], None] | None) -> None:
        """End an idle process in a while; None: not after all."""
        if self._retiring is not None:
            self._retiring.cancel()
        loop = asyncio.get_running_loop()
        self._retiring = None if retire is None else loop.call_later(self._limits.idle_seconds, retire)

    def kill(self) -> None:
        """End it now."""
        self._is_broken = True
        if self._retiring is not None:
            self._retiring.cancel()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def cleared(self) -> None:
        """Wait until it is gone, and clear away what it unpacked."""
        await self._process.wait()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process; 0 where the system does not tell (it has ended, or this is no Linux)."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * _PAGE_BYTES


def processor_seconds(pid: int) -> float:
    """Processor time a process has taken, all its threads; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) / _TICKS_PER_SECOND
