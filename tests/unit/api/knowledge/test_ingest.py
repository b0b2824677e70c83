"""Ingestion: what is found before, during and after, whatever happens in between."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from services.api.domain.knowledge import FileState, KnowledgeBaseId, Passage, Place
from services.api.domain.names import FileName
from services.api.knowledge.ingest import make_chunks
from services.foundation.errors import EngineFailed, NoWorker, StoreFailed
from tests.contract.storage import make_base, make_file
from tests.unit.api.knowledge.workbench import BASE, FILE, Crash, ScriptedEmbedder, Workbench, workbench

OLD, NEW = "年假 五天\n病假 十天\n婚假 三天", "年假 七天\n产假 九十八天"
OLD_LINES, NEW_LINES = set(OLD.splitlines()), set(NEW.splitlines())


async def record(bench: Workbench, file: FileName = FILE):
    return next(known for known in await bench.service.files(BASE) if known.name == file)


async def test_an_indexed_file_says_what_became_of_it(bench: Workbench):
    file = await bench.add(OLD)
    assert (file.state, file.chunk_count, file.version, file.failure) == (FileState.INDEXED, 3, 1, None)
    assert file.warnings == ("page 2 holds no text",)
    assert (file.loader, file.splitter) == ("LineLoader", "LineSplitter")
    assert await record(bench) == file
    assert set(await bench.found("年假 病假 婚假")) == OLD_LINES


async def test_chunks_are_embedded_in_batches(bench: Workbench):
    await bench.add("一\n二\n三\n四\n五")
    assert bench.embedder.calls == [2, 2, 1]
    assert (await bench.service.get(BASE)).dimensions == 64


async def test_the_same_content_twice_changes_nothing(bench: Workbench):
    first = await bench.add(OLD)
    before = await bench.indexed()
    again = await bench.add(OLD, replace=True)
    assert await bench.indexed() == before
    assert all(len(ids) == 3 for ids in before)
    assert (again.id, again.version, again.chunk_count) == (first.id, 1, 3)
    assert len(await bench.found("年假 五天")) == 3


async def test_a_new_version_takes_the_place_of_the_old(bench: Workbench):
    first = await bench.add(OLD)
    second = await bench.add(NEW, replace=True)
    assert (second.id, second.version, second.chunk_count) == (first.id, 2, 2)
    assert set(await bench.found("年假 病假 婚假 产假")) == NEW_LINES
    assert [len(ids) for ids in await bench.indexed()] == [2, 2, 2]


async def test_while_a_new_version_is_indexed_the_old_one_is_found(bench: Workbench):
    await bench.add(OLD)
    bench.embedder.gate = asyncio.Event()
    adding = asyncio.create_task(bench.add(NEW, replace=True))
    await bench.embedder.reached.wait()
    assert set(await bench.found("年假 病假 婚假 产假")) == OLD_LINES
    assert (await record(bench)).state is FileState.PENDING
    bench.embedder.gate.set()
    await adding
    assert set(await bench.found("年假 病假 婚假 产假")) == NEW_LINES


@pytest.mark.parametrize(
    ("text", "code", "facts"),
    [
        ("!unreadable", "file.unreadable", {"file": FILE.value, "reason": "it is torn"}),
        ("!crash", "internal", {"reason": "ZeroDivisionError"}),
        (" \n ", "file.empty", {"file": FILE.value, "reason": "no text was found in it"}),
    ],
)
async def test_a_file_that_cannot_be_read_fails_and_the_old_version_stays(bench: Workbench, text, code, facts):
    await bench.add(OLD)
    failed = await bench.add(text, replace=True)
    assert failed.state is FileState.FAILED
    assert failed.failure is not None
    assert (failed.failure.code, failed.failure.facts) == (code, facts)
    assert await record(bench) == failed
    assert set(await bench.found("年假 病假 婚假")) == OLD_LINES


async def test_an_embedder_that_fails_half_way_leaves_only_the_old_version(bench: Workbench):
    await bench.add(OLD)
    before = await bench.indexed()
    bench.embedder.failures = [None, EngineFailed(model="embed-a", reason="out of memory")]
    failed = await bench.add("年假 一\n年假 二\n年假 三\n年假 四", replace=True)
    assert failed.failure is not None
    assert failed.failure.code == "model.engine_failed"
    assert failed.failure.facts == {"model": "embed-a", "reason": "out of memory"}
    assert failed.chunk_count == 3
    assert set(await bench.found("年假")) == OLD_LINES
    assert await bench.indexed() == before


async def test_a_failed_file_can_be_indexed_again(bench: Workbench):
    bench.embedder.failures = [EngineFailed(model="embed-a", reason="out of memory")]
    assert (await bench.add(OLD)).state is FileState.FAILED
    file = await bench.service.adopt(BASE, FILE)
    assert (file.state, file.failure, file.chunk_count) == (FileState.INDEXED, None, 3)


async def test_a_worker_that_is_missing_for_a_moment_is_waited_for(bench: Workbench):
    bench.embedder.failures = [NoWorker(model="embed-a")]
    assert (await bench.add(OLD)).state is FileState.INDEXED
    assert bench.embedder.calls[0] == bench.embedder.calls[1] == 2


async def test_an_embedder_of_other_dimensions_is_named(tmp_path: Path):
    storage = (bench := workbench(tmp_path)).storage
    await bench.create()
    bench.start()
    await bench.add(OLD)
    await bench.stop()
    other = workbench(tmp_path, embedder=ScriptedEmbedder(dimensions=32), storage=storage)
    other.start()
    failed = await other.add("x", FileName("b.txt"))
    assert failed.failure is not None
    assert failed.failure.code == "embedder.changed"
    assert failed.failure.facts == {"name": BASE.value, "model": "embed-a", "expected": 64, "actual": 32}
    assert set(await bench.found("年假 病假 婚假")) == OLD_LINES
    await other.stop()


async def test_a_crash_before_the_switch_leaves_the_old_version_and_is_taken_up_again(bench: Workbench):
    await bench.add(OLD)
    bench.storage.failure = Crash()
    with pytest.raises(Crash):
        await bench.death(bench.add(NEW, replace=True))
    bench.storage.failure = None
    known, vectors, keywords = await bench.indexed()
    assert known < vectors
    assert known < keywords
    assert set(await bench.found("年假 病假 婚假 产假")) == OLD_LINES
    assert (await record(bench)).state is FileState.PENDING
    await bench.resume()
    assert set(await bench.found("年假 病假 婚假 产假")) == NEW_LINES
    assert [len(ids) for ids in await bench.indexed()] == [2, 2, 2]


async def test_a_switch_that_fails_leaves_the_old_version_and_nothing_of_the_new(bench: Workbench):
    await bench.add(OLD)
    before = await bench.indexed()
    bench.storage.failure = StoreFailed(store="metadata database", reason="disk full")
    failed = await bench.add(NEW, replace=True)
    bench.storage.failure = None
    assert failed.failure is not None
    assert failed.failure.code == "store.failed"
    assert await bench.indexed() == before
    assert set(await bench.found("年假 病假 婚假 产假")) == OLD_LINES


def test_chunk_ids_derive_from_base_file_content_position_and_text():
    base = make_base()
    file = make_file(base)
    passages = [Passage("一", Place()), Passage("一", Place(page=2)), Passage("二", Place())]
    ids = [chunk.id for chunk in make_chunks(file, passages)]
    assert ids == [chunk.id for chunk in make_chunks(file, passages)]
    assert len(set(ids)) == 3
    assert all(len(ident) == 32 and int(ident, 16) >= 0 for ident in ids)
    others = [
        make_file(base, digit="2"),
        make_file(make_base(digit="b")),
        dataclasses.replace(file, sha256="1" * 64),
        dataclasses.replace(file, knowledge_base_id=KnowledgeBaseId("c" * 32)),
    ]
    for other in others:
        assert not set(ids) & {chunk.id for chunk in make_chunks(other, passages)}
