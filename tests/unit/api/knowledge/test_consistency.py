"""The inspection: every fault is made by hand, found, named, and repaired where that needs no decision."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from pathlib import Path

import pytest

from services.api.domain.knowledge import Chunk, ChunkId, EmbeddedChunk, FileState, KnowledgeBaseId, Place, Vector
from services.api.domain.names import FileName
from services.api.knowledge.consistency import Inspection, RepairMeans
from services.api.knowledge.findings import Fault, Finding, InspectionReport, Verdict
from services.api.knowledge.orders import Upload
from services.foundation.errors import KnowledgeBaseNotFound, NoWorker
from tests.unit.api.knowledge.workbench import BASE, FILE, ScriptedEmbedder, Workbench, workbench

TEXT = "年假 五天\n病假 十天\n婚假 三天"
GONE = KnowledgeBaseId("e" * 32)
NO_ONES = ChunkId("0" * 32)


def faults(report: InspectionReport) -> dict[Fault, int]:
    return {finding.fault: finding.count for finding in report.findings}


async def check(bench: Workbench) -> dict[Fault, int]:
    """What is found, and that nothing is found after it was repaired."""
    found = await bench.inspection.run(wait=True)
    again = await bench.inspection.run()
    assert [one.fault for one in again.findings if one.verdict is Verdict.REPAIRED] == []
    return faults(found)


async def base_of(bench: Workbench) -> KnowledgeBaseId:
    return (await bench.service.get(BASE)).id


@pytest.fixture
async def filled(bench: Workbench) -> Workbench:
    await bench.add(TEXT)
    return bench


async def test_where_all_agree_nothing_is_found_or_embedded(filled: Workbench):
    calls = len(filled.embedder.calls)
    report = await filled.inspection.run()
    assert report.findings == []
    assert not report.needs_person
    assert list(report.lines()) == ["政策: 1 files, 3 chunks compared"]
    assert len(filled.embedder.calls) == calls


async def test_lost_vectors_are_embedded_again(filled: Workbench):
    base = await base_of(filled)
    ids = sorted(await filled.indexes.vectors.ids(base))
    await filled.indexes.vectors.remove(base, ids[:2])
    assert await check(filled) == {Fault.MISSING_VECTORS: 2}
    assert await filled.indexes.vectors.ids(base) == set(ids)


async def test_a_lost_vector_store_comes_back(filled: Workbench):
    base = await base_of(filled)
    before = await filled.indexed()
    await filled.indexes.vectors.drop(base)
    assert await check(filled) == {Fault.MISSING_VECTORS: 3}
    assert await filled.indexed() == before


async def test_lost_keywords_are_added_from_the_text(filled: Workbench):
    base = await base_of(filled)
    await filled.indexes.keywords.drop(base)
    calls = len(filled.embedder.calls)
    assert await check(filled) == {Fault.MISSING_KEYWORDS: 3}
    assert len(filled.embedder.calls) == calls
    assert [match.id for match in await filled.indexes.keywords.search(base, "婚假", limit=9)]


async def test_what_belongs_to_no_chunk_leaves_the_indexes(filled: Workbench):
    base = await base_of(filled)
    vector = (1.0, *(0.0,) * 63)
    await filled.indexes.vectors.upsert(base, [EmbeddedChunk(NO_ONES, vector)])
    (file,) = await filled.service.files(BASE)
    await filled.indexes.keywords.upsert([Chunk(NO_ONES, base, file.id, FILE, 1, 9, "幽灵", Place())])
    assert await check(filled) == {Fault.ORPHAN_VECTORS: 1, Fault.ORPHAN_KEYWORDS: 1}
    assert [len(ids) for ids in await filled.indexed()] == [3, 3, 3]


async def test_bases_that_are_no_more_are_dropped(filled: Workbench):
    await filled.indexes.vectors.upsert(GONE, [EmbeddedChunk(NO_ONES, (1.0, 0.0))])
    await filled.indexes.keywords.upsert([Chunk(NO_ONES, GONE, (await base_of(filled)), FILE, 1, 0, "x", Place())])  # type: ignore[arg-type]
    assert await check(filled) == {Fault.UNKNOWN_VECTORS: 1, Fault.UNKNOWN_KEYWORDS: 1}
    assert GONE not in await filled.indexes.vectors.bases() | await filled.indexes.keywords.bases()
    assert [len(ids) for ids in await filled.indexed()] == [3, 3, 3]


async def test_what_may_be_another_installations_is_left_alone(filled: Workbench):
    shared = RepairMeans(filled.embedder, 2, owns_vectors=False, extensions=[".txt"])
    inspection = Inspection(filled.indexes, filled.folders, filled.service, shared)
    await filled.indexes.vectors.upsert(GONE, [EmbeddedChunk(NO_ONES, (1.0, 0.0))])
    report = await inspection.run()
    assert faults(report) == {Fault.FOREIGN_BASES: 1}
    assert report.needs_person
    assert GONE in await filled.indexes.vectors.bases()


async def test_beside_a_database_without_bases_nothing_is_dropped(tmp_path: Path):
    bench = workbench(tmp_path)
    await bench.indexes.vectors.upsert(GONE, [EmbeddedChunk(NO_ONES, (1.0, 0.0))])
    assert faults(await bench.inspection.run()) == {Fault.FOREIGN_BASES: 1}
    assert await bench.indexes.vectors.bases() == {GONE}


async def test_a_changed_content_is_indexed_again(filled: Workbench):
    filled.lay("产假 九十八天")
    assert await check(filled) == {Fault.CHANGED_CONTENT: 1}
    (file,) = await filled.service.files(BASE)
    assert (file.state, file.version) == (FileState.INDEXED, 2)
    assert await filled.found("产假 年假") == ["产假 九十八天"]


async def test_a_content_that_cannot_be_read_any_more_needs_a_person(filled: Workbench):
    filled.lay("!unreadable")
    report = await filled.inspection.run(wait=True)
    assert faults(report) == {Fault.CHANGED_CONTENT: 1, Fault.INDEXING_FAILED: 1}
    assert report.needs_person
    assert "年假 五天" in await filled.found("年假")


async def test_a_lost_content_is_told_and_its_record_kept(filled: Workbench):
    filled.folders.remove(BASE, FILE)
    report = await filled.inspection.run()
    assert faults(report) == {Fault.LOST_CONTENT: 1}
    assert report.needs_person
    assert any(FILE.value in line and "--prune-db" in line for line in report.lines())
    assert "年假 五天" in await filled.found("年假")


async def test_a_file_without_a_record_is_told_if_a_loader_stands_for_it(filled: Workbench):
    filled.lay("产假", FileName("新.txt"))
    filled.lay("MZ", FileName("a.exe"))
    report = await filled.inspection.run()
    (finding,) = report.findings
    assert finding == Finding(Fault.NO_RECORD, 1, (FileName("新.txt"),))
    assert "init_database.py -i" in finding.sentence


async def test_a_waiting_file_without_a_job_is_put_in_line(filled: Workbench):
    (file,) = await filled.service.files(BASE)
    async with filled.storage.begin() as work:
        await work.files.save(dataclasses.replace(file, state=FileState.PENDING))
    assert await check(filled) == {Fault.WAITING_WITHOUT_JOB: 1}
    assert [one.state for one in await filled.service.files(BASE)] == [FileState.INDEXED]


async def test_files_that_were_not_to_be_indexed_are_left_alone(filled: Workbench):
    await filled.service.add_file(BASE, Upload(FileName("x.txt"), io.BytesIO(b"x"), index=False))
    filled.lay("y", FileName("x.txt"))
    assert (await filled.inspection.run()).findings == []


class Half(ScriptedEmbedder):
    """Cannot read what holds 病."""

    async def embed_documents(self, model: str, texts: list[str]) -> list[Vector | None]:  # type: ignore[override]
        vectors = await super().embed_documents(model, texts)
        return [None if "病" in text else vector for text, vector in zip(texts, vectors, strict=True)]


async def test_a_text_the_embedder_cannot_read_is_no_fault(tmp_path: Path):
    bench = workbench(tmp_path, embedder=Half())
    await bench.create()
    bench.start()
    await bench.add(TEXT)
    report = await bench.inspection.run()
    await bench.stop()
    assert faults(report) == {Fault.UNREADABLE_TEXTS: 1}
    assert not report.needs_person
    assert [finding.verdict for finding in report.findings] == [Verdict.NOTED]


async def test_without_the_model_the_rest_is_repaired_and_the_reason_told(filled: Workbench):
    base = await base_of(filled)
    await filled.indexes.vectors.drop(base)
    await filled.indexes.keywords.drop(base)
    filled.embedder.failures = [None, NoWorker(model="embed-a")]
    report = await filled.inspection.run()
    assert faults(report) == {Fault.MISSING_KEYWORDS: 3, Fault.MISSING_VECTORS: 2, Fault.NOT_EMBEDDED: 1}
    assert report.needs_person
    assert any("embed-a" in line for line in report.lines())


async def test_another_embedder_than_the_bases_is_refused(filled: Workbench):
    base = await base_of(filled)
    await filled.indexes.vectors.drop(base)
    means = RepairMeans(ScriptedEmbedder(dimensions=16), 2, owns_vectors=True, extensions=[".txt"])
    report = await Inspection(filled.indexes, filled.folders, filled.service, means).run()
    assert faults(report) == {Fault.NOT_EMBEDDED: 3}
    assert await filled.indexes.vectors.ids(base) == set()


async def test_what_a_job_has_staged_is_not_touched(filled: Workbench):
    base, before = await base_of(filled), await filled.indexed()
    filled.embedder.failures = [None]
    filled.embedder.gate = asyncio.Event()
    filled.embedder.reached.clear()
    new = asyncio.create_task(filled.add("产假 一\n产假 二\n产假 三", replace=True))
    await filled.embedder.reached.wait()
    await filled.indexes.vectors.remove(base, [ChunkId(min(before[0]))])
    assert (await filled.inspection.run()).findings == []
    filled.embedder.gate.set()
    assert (await new).chunk_count == 3
    assert [len(ids) for ids in await filled.indexed()] == [3, 3, 3]
    assert (await filled.inspection.run()).findings == []


async def test_marked_chunks_of_a_job_are_no_orphans(tmp_path: Path):
    bench = workbench(tmp_path)
    await bench.create()
    bench.embedder.failures = [None]
    bench.start()
    upload = asyncio.create_task(bench.add(TEXT))
    while not await bench.indexes.vectors.ids(await base_of(bench)):
        await asyncio.sleep(0)
    assert (await bench.inspection.run()).findings == []
    assert (await upload).state is FileState.INDEXED
    assert [len(ids) for ids in await bench.indexed()] == [3, 3, 3]
    await bench.stop()


async def test_what_is_removed_while_it_is_embedded_again_does_not_come_back(filled: Workbench):
    await filled.indexes.vectors.drop(await base_of(filled))
    filled.embedder.gate = asyncio.Event()
    filled.embedder.reached.clear()
    checking = asyncio.create_task(filled.inspection.run())
    await filled.embedder.reached.wait()
    await filled.service.remove_file(BASE, FILE, delete_content=True)
    filled.embedder.gate.set()
    await checking
    assert [len(ids) for ids in await filled.indexed()] == [0, 0, 0]


async def test_a_base_that_is_deleted_while_it_is_embedded_again_does_not_come_back(filled: Workbench):
    base = await base_of(filled)
    await filled.indexes.vectors.drop(base)
    filled.embedder.gate = asyncio.Event()
    filled.embedder.reached.clear()
    checking = asyncio.create_task(filled.inspection.run())
    await filled.embedder.reached.wait()
    await filled.service.delete(BASE)
    filled.embedder.gate.set()
    report = await checking
    assert report.findings == []
    assert await filled.indexes.vectors.bases() == await filled.indexes.keywords.bases() == set()


async def test_named_bases_only(filled: Workbench):
    await filled.indexes.vectors.upsert(GONE, [EmbeddedChunk(NO_ONES, (1.0, 0.0))])
    assert (await filled.inspection.run([BASE])).findings == []
    with pytest.raises(KnowledgeBaseNotFound):
        await filled.inspection.run([dataclasses.replace(BASE, value="none")])
