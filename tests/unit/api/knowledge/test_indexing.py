"""Indexers and the service as they agree through the jobs, each as if it were a process of its own."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.api.domain.ingestion import Hold
from services.api.domain.knowledge import FileState
from services.api.domain.names import FileName
from services.api.knowledge.orders import Upload
from services.api.knowledge.queue import IndexQueue
from services.foundation.errors import IndexerAbsent
from tests.unit.api.knowledge.workbench import BASE, FILE, Workbench, workbench

SECOND = "second"
OLD, NEW = "年假 五天\n病假 十天", "年假 一\n年假 二\n年假 三"


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[Workbench, Workbench]]:
    """Two processes over the same storage, indexes and folders, each with an indexer."""
    first = workbench(tmp_path)
    second = workbench(tmp_path, storage=first.storage, beside=first.indexes, holder=SECOND)
    await first.create()
    yield first, second
    await first.stop()
    await second.stop()


async def lie_in_wait(bench: Workbench, text: str, file: FileName = FILE) -> None:
    """Put a file in line."""
    await bench.service.add_file(BASE, Upload(file, io.BytesIO(text.encode()), replace=True, wait=False))


async def held_at_the_embedder(first: Workbench, second: Workbench) -> asyncio.Event:
    """Have the second process index OLD, and wait at its embedder until the event is set."""
    second.start()
    second.embedder.gate = gate = asyncio.Event()
    await lie_in_wait(first, OLD)
    await second.embedder.reached.wait()
    return gate


async def test_two_indexers_do_each_job_once(two: tuple[Workbench, Workbench]):
    first, second = two
    for number in range(12):
        await lie_in_wait(first, f"年假 {number}", FileName(f"{number}.txt"))
    await asyncio.gather(first.indexer.drain(), second.indexer.drain())
    assert {file.state for file in await first.service.files(BASE)} == {FileState.INDEXED}
    assert len(first.embedder.calls) + len(second.embedder.calls) == 12
    assert first.embedder.calls
    assert second.embedder.calls


async def test_a_job_that_another_process_is_at_is_given_up_and_nothing_stays(two: tuple[Workbench, Workbench]):
    first, second = two
    await held_at_the_embedder(first, second)
    assert (await first.service.cancel(BASE, FILE)).state is FileState.CANCELLED
    assert [len(ids) for ids in await first.indexed()] == [0, 0, 0]
    async with first.storage.begin() as work:
        assert await work.jobs.progress((await first.service.get(BASE)).id) == {}


async def test_a_new_version_takes_the_place_of_one_that_is_being_indexed(two: tuple[Workbench, Workbench]):
    first, second = two
    gate = await held_at_the_embedder(first, second)
    replacing = asyncio.create_task(first.add(NEW, replace=True))
    gate.set()
    assert (await replacing).version == 2
    assert set(await first.found("年假 病假")) == set(NEW.splitlines())
    assert [len(ids) for ids in await first.indexed()] == [3, 3, 3]


async def test_the_job_of_a_process_that_died_is_taken_up_when_its_hold_runs_out(two: tuple[Workbench, Workbench]):
    first, second = two
    await lie_in_wait(first, OLD)
    async with first.storage.begin() as work:
        await work.jobs.claim(Hold("dead", 0.5))
    second.start()
    async with asyncio.timeout(5):
        while (await first.service.files(BASE))[0].state is not FileState.INDEXED:
            await asyncio.sleep(0.05)
    assert second.embedder.calls == [2]


async def test_an_indexer_whose_job_was_taken_changes_nothing(two: tuple[Workbench, Workbench]):
    first, second = two
    gate = await held_at_the_embedder(first, second)
    file = (await first.service.files(BASE))[0]
    async with first.storage.begin() as work:  # as if the second had been silent for too long
        await work.jobs.free(SECOND)
        await work.jobs.claim(Hold("third", 30.0))
    gate.set()
    await asyncio.sleep(0.5)
    assert (await first.service.files(BASE))[0] == file
    assert await first.found("年假") == []


async def test_a_base_deleted_by_another_process_leaves_nothing_in_the_indexes(two: tuple[Workbench, Workbench]):
    first, second = two
    gate = await held_at_the_embedder(first, second)
    base = await first.service.get(BASE)
    await first.service.delete(BASE)
    gate.set()
    await asyncio.sleep(0.5)
    assert await first.indexes.vectors.ids(base.id) == set()
    assert await first.indexes.keywords.ids(base.id) == set()


async def test_content_that_changed_unsaid_is_what_is_indexed(two: tuple[Workbench, Workbench]):
    first, second = two
    await lie_in_wait(first, OLD)
    first.lay(NEW)
    await second.indexer.drain()
    indexed = (await first.service.files(BASE))[0]
    assert (indexed.state, indexed.version, indexed.chunk_count) == (FileState.INDEXED, 2, 3)


async def test_where_nobody_indexes_the_caller_is_told_and_the_file_stays_in_line(two: tuple[Workbench, Workbench]):
    first, second = two
    await lie_in_wait(first, OLD)
    queue = IndexQueue(first.storage, "impatient", absent_seconds=0.2)
    file = (await first.service.files(BASE))[0]
    with pytest.raises(IndexerAbsent):
        await queue.finished(await first.service.get(BASE), file)
    assert (await first.service.files(BASE))[0].state is FileState.PENDING
    await second.indexer.drain()
    assert (await first.service.files(BASE))[0].state is FileState.INDEXED


async def test_what_the_indexes_would_not_forget_they_are_told_again(two: tuple[Workbench, Workbench]):
    first, second = two
    first.start()
    await first.add(OLD)
    base = await first.service.get(BASE)
    left = await first.indexes.vectors.ids(base.id)
    async with first.storage.begin() as work:  # as a crash leaves it between the commit and the indexes
        await work.files.remove((await first.service.files(BASE))[0].id)
        await work.stale.add(base.id, list(left))
    await second.indexer.drain()
    assert [len(ids) for ids in await first.indexed()] == [0, 0, 0]


async def test_a_file_that_cannot_be_opened_fails_and_the_next_is_indexed(
    two: tuple[Workbench, Workbench], monkeypatch: pytest.MonkeyPatch
):
    first, second = two
    broken = FileName("broken.txt")
    for name in (broken, FILE):
        await lie_in_wait(first, OLD, name)
    opened = Path.open

    def refused(path: Path, *how: Any, **options: Any) -> Any:
        if path.name == broken.value:
            raise PermissionError(13, "Permission denied")
        return opened(path, *how, **options)

    monkeypatch.setattr(Path, "open", refused)
    await second.indexer.drain()
    failed, indexed = sorted(await first.service.files(BASE), key=lambda file: file.state is FileState.INDEXED)
    assert (failed.name, failed.state) == (broken, FileState.FAILED)
    assert failed.failure is not None
    assert (failed.failure.code, failed.failure.facts["reason"]) == ("file.unreadable", "Permission denied")
    assert indexed.state is FileState.INDEXED
