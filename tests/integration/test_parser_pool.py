"""The processes that read files: ended at their limits, replaced when they die, confined, gone with their parent."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from services.api.domain.knowledge import SourceFile
from services.api.knowledge.parsing.pool import ParserPool, ParsingLimits
from services.foundation.errors import ReadingCrashed, ReadingStalled, ReadingTooDemanding
from tests.contract.parser import CUT, written
from tests.stack import ROOT
from tests.unit.api.knowledge.loaders.making import lines_of_text, pdf

LIMITS = ParsingLimits(stall_seconds=30.0, limit_seconds=60.0, memory_bytes=1_000_000_000)
LONG = ("很长的一句话，" * 9 + "终于完了。\n").encode() * 60_000
"""Takes seconds to read and cut."""


@asynccontextmanager
async def pool(limits: ParsingLimits = LIMITS, scratch: Path | None = None) -> AsyncIterator[ParserPool]:
    with tempfile.TemporaryDirectory() as folder:
        made = ParserPool(limits, scratch or Path(folder))
        try:
            yield made
        finally:
            await made.stop()


def children() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if "services.api.knowledge.parsing.child" in child.cmdline():
                found.append(child)
    return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not condition():
            await asyncio.sleep(0.02)


def small(folder: Path) -> SourceFile:
    return written(folder, "small.txt", b"It is read.")


async def test_one_process_reads_many_files_and_a_fresh_one_follows(tmp_path: Path):
    async with pool(replace(LIMITS, files_per_process=3)) as parser:
        seen = set()
        for _ in range(4):
            await parser.parse(small(tmp_path), CUT)
            seen |= {child.pid for child in children()}
        assert len(seen) == 2
    assert children() == []


async def test_files_at_once_have_processes_of_their_own_which_idle_away(tmp_path: Path):
    async with pool(replace(LIMITS, idle_seconds=0.3)) as parser:
        await asyncio.gather(*(parser.parse(small(tmp_path), CUT) for _ in range(2)))
        await until(lambda: not children())


async def test_a_file_without_progress_is_given_up(tmp_path: Path):
    async with pool(replace(LIMITS, stall_seconds=0.6)) as parser:
        with pytest.raises(ReadingStalled) as raised:
            await parser.parse(written(tmp_path, "slow.txt", LONG), CUT)
        assert raised.value.facts["file"] == "slow.txt"
        await until(lambda: not children())


async def test_a_file_that_takes_all_day_is_given_up(tmp_path: Path):
    async with pool(replace(LIMITS, limit_seconds=0.6)) as parser:
        with pytest.raises(ReadingStalled):
            await parser.parse(written(tmp_path, "slow.txt", LONG), CUT)


async def test_a_file_that_needs_too_much_memory_is_given_up_and_the_next_is_read(tmp_path: Path):
    async with pool(replace(LIMITS, memory_bytes=100_000_000)) as parser:
        page = b"<html><body>" + b"<p>" + b"<b>a</b> c " * 1_500_000 + b"</p></body></html>"  # a tree is built of it
        with pytest.raises(ReadingTooDemanding) as raised:
            await parser.parse(written(tmp_path, "big.html", page), CUT)
        assert raised.value.facts["limit_mb"] == 100
        assert (await parser.parse(small(tmp_path), CUT)).passages


async def killed(ending: signal.Signals, before: int = 0) -> int:
    """End the process that is reading; its id."""
    await until(lambda: any(child.pid != before for child in children()))
    await asyncio.sleep(0.3)
    pid = next(child.pid for child in children() if child.pid != before)
    os.kill(pid, ending)
    return pid


async def test_a_file_whose_reader_was_killed_is_read_by_another(tmp_path: Path):
    async with pool() as parser:
        reading = asyncio.ensure_future(parser.parse(written(tmp_path, "slow.txt", LONG), CUT))
        await killed(signal.SIGKILL)
        assert (await reading).passages


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_file_that_ends_its_reader_twice_fails_and_the_next_is_read(tmp_path: Path, ending: signal.Signals):
    async with pool() as parser:
        reading = asyncio.ensure_future(parser.parse(written(tmp_path, "slow.txt", LONG), CUT))
        first = await killed(ending)
        await killed(ending, before=first)
        with pytest.raises(ReadingCrashed, match=ending.name):
            await reading
        assert (await parser.parse(small(tmp_path), CUT)).passages


async def test_an_idle_process_that_died_is_not_used(tmp_path: Path):
    async with pool() as parser:
        await parser.parse(small(tmp_path), CUT)
        children()[0].kill()
        await until(lambda: not children())
        assert (await parser.parse(small(tmp_path), CUT)).passages


async def test_leaving_ends_the_reading(tmp_path: Path):
    async with pool() as parser:
        reading = asyncio.ensure_future(parser.parse(written(tmp_path, "slow.txt", LONG), CUT))
        await until(lambda: bool(children()))
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await until(lambda: not children())


async def test_progress_is_reported(tmp_path: Path):
    told: list[tuple[int, int | None]] = []
    file = written(tmp_path, "a.pdf", pdf([lines_of_text(["page one is here"]), lines_of_text(["page two is here"])]))
    async with pool() as parser:
        await parser.parse(replace(file, report=lambda done, total: told.append((done, total))), CUT)
    assert told[-1] == (2, 2)


async def test_what_a_reader_unpacked_is_gone_with_it_however_it_ended(tmp_path: Path):
    scratch = tmp_path / "scratch"
    (scratch / "999999999" / "left by a crash").mkdir(parents=True)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("slow.txt", LONG)
    async with pool(replace(LIMITS, stall_seconds=1.0), scratch) as parser:
        reading = asyncio.ensure_future(parser.parse(written(tmp_path, "a.zip", archive.getvalue()), CUT))
        await until(lambda: bool(list((scratch / str(os.getpid())).rglob("*.txt"))))
        os.kill(children()[0].pid, signal.SIGSTOP)  # how long it is silent by itself, chance decides
        with pytest.raises(ReadingStalled):
            await reading
        await until(lambda: not [left for left in scratch.rglob("*") if left.name != str(os.getpid())])
        assert (await parser.parse(small(tmp_path), CUT)).passages
    assert list(scratch.iterdir()) == []


_FORBIDDEN = """
import sys
from services.api.knowledge.parsing.confinement import confine
confine(1_000_000_000)
import os, resource, socket, subprocess
def refused(do):
    try:
        do()
    except PermissionError:
        return True
    return False
print(refused(lambda: socket.create_connection(("127.0.0.1", 9))),
      refused(lambda: subprocess.run(["true"])), refused(lambda: os.system("true")),
      refused(lambda: os.execv("/bin/true", ["true"])), os.nice(0) >= 10,
      resource.getrlimit(resource.RLIMIT_CORE)[1] == 0, resource.getrlimit(resource.RLIMIT_DATA)[1] == 2_000_000_000)
"""


def test_a_confined_process_opens_no_connection_and_starts_no_program():
    found = subprocess.run([sys.executable, "-c", _FORBIDDEN], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True"] * 7


_PARENT = """
import asyncio, sys
from pathlib import Path
from services.api.domain.knowledge import SourceFile
from services.api.domain.names import FileName
from services.api.knowledge.parsing.pool import ParserPool, ParsingLimits
from tests.contract.parser import CUT
path = Path(sys.argv[1])
asyncio.run(ParserPool(ParsingLimits(60.0, 60.0, 10**9), path.parent).parse(SourceFile(FileName(path.name), path), CUT))
"""


def test_the_death_of_the_parent_leaves_no_reader(tmp_path: Path):
    slow = written(tmp_path, "slow.txt", LONG).path
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(slow)], cwd=ROOT)
    readers: list[psutil.Process] = []
    limit = time.monotonic() + 20
    while not readers and time.monotonic() < limit:
        readers = psutil.Process(parent.pid).children()
        time.sleep(0.05)
    assert readers
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(readers, timeout=5)
    assert alive == []
