"""Indexing as a job: what a crash leaves is taken up where it stopped; what is given up leaves nothing."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest

from services.api.domain.ingestion import Progress, Stage
from services.api.domain.knowledge import FileState, KnowledgeFile, Splitting
from services.api.knowledge.ingest import MOST_ATTEMPTS
from services.api.knowledge.orders import Upload
from services.foundation.errors import FileNotInBase
from tests.unit.api.knowledge.workbench import BASE, FILE, Crash, ScriptedEmbedder, Workbench, workbench

DEFAULT = Splitting()
OLD, NEW = "年假 五天\n病假 十天", "年假 一\n年假 二\n年假 三\n年假 四\n年假 五"


async def record(bench: Workbench):
    return (await bench.service.files(BASE))[0]


async def started_anew(bench: Workbench, tmp_path: Path) -> Workbench:
    """The service after a restart: over the same storage and indexes, with an embedder that counts from nothing."""
    anew = workbench(tmp_path, embedder=ScriptedEmbedder(), storage=bench.storage, beside=bench.indexes)
    await anew.resume()
    anew.start()
    return anew


async def crash(bench: Workbench, text: str, splitting: Splitting = DEFAULT) -> None:
    """Upload, and die while the third batch is embedded (batches are of two)."""
    bench.embedder.failures = [None, None, Crash()]
    with pytest.raises(Crash):
        await bench.death(
            bench.service.add_file(BASE, Upload(FILE, io.BytesIO(text.encode()), True, splitting=splitting))
        )
    bench.embedder.failures = []


async def test_after_a_crash_only_what_was_not_embedded_is_embedded(bench: Workbench, tmp_path: Path):
    await crash(bench, NEW)
    assert await bench.found("年假") == [], "nothing of it is seen before all of it can be"
    async with bench.storage.begin() as work:
        kept = await work.jobs.find((await record(bench)).id)
    assert kept is not None
    assert (kept.attempt, kept.is_staged) == (1, True)
    anew = await started_anew(bench, tmp_path)
    assert (anew.parser.read, anew.embedder.calls) == ([], [1])
    assert set(await anew.found("年假")) == set(NEW.splitlines())
    assert [len(ids) for ids in await anew.indexed()] == [5, 5, 5]
    async with bench.storage.begin() as work:
        assert await work.jobs.find((await record(bench)).id) is None


async def test_a_crash_forgets_no_chunk_size(bench: Workbench, tmp_path: Path):
    await crash(bench, NEW, Splitting(chunk_chars=123, overlap_chars=7))
    anew = await started_anew(bench, tmp_path)
    assert anew.embedder.calls == [1], "another cut would begin anew"


async def test_another_content_after_a_crash_leaves_nothing_of_the_first(bench: Workbench):
    await crash(bench, NEW)
    bench.start()
    await bench.add(OLD, replace=True)
    assert [len(ids) for ids in await bench.indexed()] == [2, 2, 2]
    assert set(await bench.found("年假 病假")) == set(OLD.splitlines())


async def test_a_file_that_ends_the_service_again_and_again_is_given_up(bench: Workbench, tmp_path: Path):
    await crash(bench, NEW)
    for _ in range(MOST_ATTEMPTS - 1):
        bench.embedder.failures = [Crash()]
        with pytest.raises(Crash):
            await bench.resume()
    bench.embedder.failures = []
    await bench.resume()
    failed = await record(bench)
    assert failed.failure is not None
    assert (failed.state, failed.failure.code) == (FileState.FAILED, "file.abandoned")
    assert [len(ids) for ids in await bench.indexed()] == [0, 0, 0]
    bench.start()
    assert (await bench.service.adopt(BASE, FILE)).state is FileState.INDEXED, "asked for again, it is tried again"


async def test_a_long_file_survives_any_number_of_crashes_as_long_as_it_gets_on(bench: Workbench):
    text = "\n".join(f"年假 第{number}条" for number in range(30))
    await crash(bench, text)
    for _ in range(2 * MOST_ATTEMPTS):
        bench.embedder.failures = [None, Crash()]
        with pytest.raises(Crash):
            await bench.resume()
    bench.embedder.failures = []
    await bench.resume()
    assert (await record(bench)).state is FileState.INDEXED
    assert [len(ids) for ids in await bench.indexed()] == [30, 30, 30]
    assert sum(bench.embedder.calls) == 30 + 2 * (2 * MOST_ATTEMPTS + 1), "what was under way at each crash, again"


async def gated(bench: Workbench, text: str) -> asyncio.Task[KnowledgeFile]:
    """An upload that has got as far as the embedder."""
    bench.embedder.gate = asyncio.Event()
    adding = asyncio.create_task(bench.add(text, replace=True))
    await bench.embedder.reached.wait()
    return adding


async def test_indexing_can_be_given_up(bench: Workbench):
    await bench.add(OLD)
    before = await bench.indexed()
    adding = await gated(bench, NEW)
    assert (await bench.service.cancel(BASE, FILE)).state is FileState.CANCELLED
    assert (await adding).state is FileState.CANCELLED
    assert await bench.indexed() == before
    assert set(await bench.found("年假 病假")) == set(OLD.splitlines())
    await bench.resume()
    assert (await record(bench)).state is FileState.CANCELLED, "a restart does not take it up again"
    bench.embedder.gate = None
    assert (await bench.service.adopt(BASE, FILE)).chunk_count == 5


async def test_giving_up_what_is_not_being_indexed_changes_nothing(bench: Workbench):
    await bench.add(OLD)
    assert (await bench.service.cancel(BASE, FILE)).state is FileState.INDEXED
    with pytest.raises(FileNotInBase):
        await bench.service.cancel(BASE, type(FILE)("b.txt"))


async def test_deleting_a_file_that_is_being_indexed_does_not_wait_for_it(bench: Workbench):
    adding = await gated(bench, NEW)
    await asyncio.wait_for(bench.service.remove_file(BASE, FILE, delete_content=True), 1.0)
    assert (await adding).state is FileState.CANCELLED
    assert [len(ids) for ids in await bench.indexed()] == [0, 0, 0]
    assert await bench.service.files(BASE) == []


async def reported(bench: Workbench, file: KnowledgeFile, expected: Progress) -> None:
    """Progress is put on record about once a second."""
    async with asyncio.timeout(4):
        while (await bench.service.progress(BASE))[file.id] != expected:
            await asyncio.sleep(0.05)


async def test_how_far_a_file_has_got_is_known_while_it_is_indexed(bench: Workbench):
    adding = await gated(bench, NEW)
    file = await record(bench)
    await reported(bench, file, Progress(Stage.INDEXING, 0, 5))
    assert bench.embedder.gate is not None
    bench.embedder.reached.clear()
    gate, bench.embedder.gate = bench.embedder.gate, asyncio.Event()
    gate.set()
    await bench.embedder.reached.wait()
    await reported(bench, file, Progress(Stage.INDEXING, 2, 5))
    bench.embedder.gate.set()
    bench.embedder.gate = None
    await adding
    assert await bench.service.progress(BASE) == {}


async def test_an_upload_need_not_wait(bench: Workbench):
    bench.embedder.gate = asyncio.Event()
    upload = Upload(FILE, io.BytesIO(NEW.encode()), wait=False)
    assert (await bench.service.add_file(BASE, upload)).state is FileState.PENDING
    await bench.embedder.reached.wait()
    bench.embedder.gate.set()
    async with asyncio.timeout(2):
        while (await record(bench)).state is not FileState.INDEXED:
            await asyncio.sleep(0.01)
    assert set(await bench.found("年假")) == set(NEW.splitlines())


async def test_a_stop_leaves_background_work_to_the_next_start(bench: Workbench, tmp_path: Path):
    bench.embedder.gate = asyncio.Event()
    await bench.service.add_file(BASE, Upload(FILE, io.BytesIO(NEW.encode()), wait=False))
    await bench.embedder.reached.wait()
    await bench.service.stop()
    assert (await record(bench)).state is FileState.PENDING
    anew = await started_anew(bench, tmp_path)
    assert (await record(anew)).state is FileState.INDEXED
