"""The knowledge service: bases and files come and go whole."""

from __future__ import annotations

import asyncio
import dataclasses
import io

import pytest

from services.api.domain.knowledge import FileState, Splitting
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.knowledge.orders import NewKnowledgeBase, Upload
from services.foundation.errors import (
    EmptyFile,
    FileExists,
    FileNotInBase,
    FileTooLarge,
    KnowledgeBaseExists,
    KnowledgeBaseNotFound,
    StoreFailed,
    UnknownModel,
    UnknownVariant,
    UnsupportedFile,
)
from tests.unit.api.knowledge.workbench import BASE, FILE, LIMIT_BYTES, Crash, Workbench

OTHER = KnowledgeBaseName("other")


async def states(bench: Workbench, base: KnowledgeBaseName = BASE) -> dict[str, FileState]:
    return {file.name.value: file.state for file in await bench.service.files(base)}


async def test_a_new_base_takes_the_defaults_and_can_choose(bench: Workbench):
    made = await bench.service.get(BASE)
    assert (made.embedding_model, made.vector_store, made.dimensions) == ("embed-a", "memory", None)
    chosen = await bench.service.create(
        NewKnowledgeBase(OTHER, description="d", embedding_model="embed-b", vector_store="other")
    )
    assert (chosen.description, chosen.embedding_model, chosen.vector_store) == ("d", "embed-b", "other")
    assert await bench.service.get(OTHER) == chosen
    assert [(base.name.value, count) for base, count in await bench.service.bases()] == [("other", 0), ("政策", 0)]
    assert [name.value for name in bench.folders.bases()] == ["other", "政策"]


@pytest.mark.parametrize(
    ("wanted", "failure"),
    [
        (NewKnowledgeBase(KnowledgeBaseName("OTHER")), KnowledgeBaseExists),
        (NewKnowledgeBase(KnowledgeBaseName("x"), embedding_model="nowhere"), UnknownModel),
        (NewKnowledgeBase(KnowledgeBaseName("x"), vector_store="faiss"), UnknownVariant),
    ],
)
async def test_a_base_that_cannot_be_is_refused_and_leaves_nothing(bench: Workbench, wanted, failure):
    await bench.create(OTHER)
    with pytest.raises(failure):
        await bench.service.create(wanted)
    assert len(await bench.service.bases()) == 2
    assert [name.value for name in bench.folders.bases()] == ["other", "政策"]


async def test_ensure_makes_a_base_once(bench: Workbench):
    made = await bench.service.ensure(NewKnowledgeBase(OTHER, description="first"))
    assert await bench.service.ensure(NewKnowledgeBase(KnowledgeBaseName("Other"), description="second")) == made


async def test_a_base_is_found_by_its_name_ignoring_case(bench: Workbench):
    await bench.create(OTHER)
    shouted = KnowledgeBaseName("OTHER")
    await bench.add("年假 五天", base=shouted)
    assert [file.name for file in await bench.service.files(OTHER)] == [FILE]
    assert bench.folders.names(OTHER) == [FILE]
    assert bench.folders.names(shouted) == []


async def test_deleting_a_base_removes_everything_of_it_and_nothing_else(bench: Workbench):
    await bench.create(OTHER)
    await bench.add("年假 五天")
    await bench.add("年假 六天", base=OTHER)
    gone = await bench.service.get(BASE)
    await bench.service.delete(BASE)
    with pytest.raises(KnowledgeBaseNotFound):
        await bench.service.get(BASE)
    async with bench.storage.begin() as work:
        assert await work.chunks.ids_of_base(gone.id) == set()
    assert await bench.indexes.vectors.ids(gone.id) == set()
    assert await bench.indexes.keywords.ids(gone.id) == set()
    assert [path.name for path in bench.root.iterdir()] == ["other"]
    assert await bench.found("年假", base=OTHER) == ["年假 六天"]


async def test_a_deleted_name_can_be_used_again_and_holds_nothing(bench: Workbench):
    await bench.add("年假 五天")
    await bench.service.delete(BASE)
    await bench.create()
    assert await bench.service.files(BASE) == []
    assert await bench.found("年假 五天") == []
    assert (await bench.add("年假 六天")).version == 1
    assert await bench.found("年假") == ["年假 六天"]


async def test_deleting_an_unknown_base_is_named(bench: Workbench):
    with pytest.raises(KnowledgeBaseNotFound):
        await bench.service.delete(OTHER)


async def test_the_same_file_name_in_two_bases_is_two_files(bench: Workbench):
    await bench.create(OTHER)
    await bench.add("年假 五天")
    await bench.add("年假 六天", base=OTHER)
    assert await bench.found("年假") == ["年假 五天"]
    assert await bench.found("年假", base=OTHER) == ["年假 六天"]
    await bench.service.remove_file(BASE, FILE, delete_content=True)
    assert await bench.found("年假") == []
    assert await bench.found("年假", base=OTHER) == ["年假 六天"]
    assert bench.folders.names(OTHER) == [FILE]


@pytest.mark.parametrize("delete_content", [True, False])
async def test_removing_a_file_removes_exactly_its_chunks(bench: Workbench, delete_content: bool):
    await bench.add("年假 五天\n年假 同样")
    await bench.add("年假 六天\n年假 同样", FileName("b.txt"))
    await bench.service.remove_file(BASE, FILE, delete_content=delete_content)
    assert sorted(await bench.found("年假")) == ["年假 六天", "年假 同样"]
    assert [len(ids) for ids in await bench.indexed()] == [2, 2, 2]
    assert await states(bench) == {"b.txt": FileState.INDEXED}
    assert bench.folders.path(BASE, FILE).is_file() is not delete_content


async def test_removing_an_unknown_file_is_named(bench: Workbench):
    with pytest.raises(FileNotInBase):
        await bench.service.remove_file(BASE, FILE, delete_content=True)


async def test_a_file_is_replaced_only_when_asked(bench: Workbench):
    await bench.add("年假 五天")
    with pytest.raises(FileExists):
        await bench.add("年假 七天")
    assert bench.folders.path(BASE, FILE).read_text(encoding="utf-8") == "年假 五天"
    assert (await bench.add("年假 七天", replace=True)).version == 2
    assert await bench.found("年假") == ["年假 七天"]


@pytest.mark.parametrize(
    ("name", "content", "failure"),
    [
        ("a.exe", b"x", UnsupportedFile),
        ("noextension", b"x", UnsupportedFile),
        ("a.txt", b"", EmptyFile),
        ("a.txt", b"x" * (LIMIT_BYTES + 1), FileTooLarge),
    ],
)
async def test_a_file_that_is_refused_leaves_nothing(bench: Workbench, name: str, content: bytes, failure):
    with pytest.raises(failure):
        await bench.service.add_file(BASE, Upload(FileName(name), io.BytesIO(content)))
    assert await bench.service.files(BASE) == []
    assert bench.folders.names(BASE) == []


async def test_a_new_file_that_cannot_be_put_on_record_is_not_kept(bench: Workbench):
    """What lies in the folder and in no list would be neither kept nor refused."""
    await bench.add("年假 五天", FileName("known.txt"))
    bench.storage.record_failure = StoreFailed(store="metadata database", reason="database is locked")
    for name in ("new.txt", "known.txt"):
        with pytest.raises(StoreFailed):
            await bench.add("年假 六天", FileName(name), replace=True)
    assert [name.value for name in bench.folders.names(BASE)] == ["known.txt"]


async def test_uploads_of_one_name_at_once_are_taken_one_after_the_other(bench: Workbench):
    texts = [f"年假 {number}" for number in range(8)]
    files = await asyncio.gather(*(bench.add(text, replace=True) for text in texts))
    assert {file.version for file in files} == {8}, "each waits for what took its place"
    assert len({file.id for file in files}) == 1
    last = bench.folders.path(BASE, FILE).read_text(encoding="utf-8")
    assert await bench.found("年假") == [last]
    assert [len(ids) for ids in await bench.indexed()] == [1, 1, 1]


async def test_of_uploads_of_one_name_at_once_without_replace_one_wins(bench: Workbench):
    found = await asyncio.gather(*(bench.add(f"年假 {n}") for n in range(4)), return_exceptions=True)
    assert sum(isinstance(outcome, FileExists) for outcome in found) == 3
    assert await bench.found("年假") == [bench.folders.path(BASE, FILE).read_text(encoding="utf-8")]


async def test_a_file_can_be_stored_without_being_indexed(bench: Workbench):
    file = await bench.service.add_file(BASE, Upload(FILE, io.BytesIO("年假".encode()), index=False))
    assert (file.state, file.chunk_count) == (FileState.STORED, 0)
    assert await bench.found("年假") == []
    assert (await bench.service.adopt(BASE, FILE)).state is FileState.INDEXED
    assert await bench.found("年假") == ["年假"]


async def test_new_content_that_is_only_stored_does_not_pass_for_indexed(bench: Workbench):
    await bench.add("年假 五天")
    upload = Upload(FILE, io.BytesIO("年假 七天".encode()), replace=True, index=False)
    file = await bench.service.add_file(BASE, upload)
    assert (file.state, file.version, file.chunk_count) == (FileState.STORED, 2, 1)
    assert await bench.found("年假") == ["年假 五天"]


async def test_adopting_takes_up_what_lies_in_the_folder(bench: Workbench):
    bench.lay("年假 五天")
    assert (await bench.service.adopt(BASE, FILE)).version == 1
    bench.lay("年假 七天")
    assert (await bench.service.adopt(BASE, FILE, Splitting(chunk_chars=100))).version == 2
    assert await bench.found("年假") == ["年假 七天"]
    with pytest.raises(FileNotInBase):
        await bench.service.adopt(BASE, FileName("absent.txt"))


async def test_a_source_file_is_given_only_when_it_is_on_record_and_there(bench: Workbench):
    bench.lay("年假")
    with pytest.raises(FileNotInBase):
        await bench.service.stored_path(BASE, FILE)
    await bench.service.adopt(BASE, FILE)
    assert (await bench.service.stored_path(BASE, FILE)).read_text(encoding="utf-8") == "年假"
    bench.folders.remove(BASE, FILE)
    with pytest.raises(FileNotInBase):
        await bench.service.stored_path(BASE, FILE)


async def test_resetting_forgets_the_records_and_keeps_the_files(bench: Workbench):
    await bench.add("年假 五天")
    fresh = await bench.service.reset(BASE, "embed-b")
    assert (fresh.embedding_model, fresh.dimensions) == ("embed-b", None)
    assert await bench.service.files(BASE) == []
    assert await bench.indexed() == (set(), set(), set())
    assert bench.folders.names(BASE) == [FILE]


async def test_resuming_takes_up_pending_files_and_leaves_the_others(bench: Workbench):
    await bench.service.add_file(BASE, Upload(FileName("stored.txt"), io.BytesIO("年假 存".encode()), index=False))
    await bench.add("!unreadable", FileName("failed.txt"))
    bench.storage.failure = Crash()
    with pytest.raises(Crash):
        await bench.death(bench.add("年假 五天", FileName("pending.txt")))
    bench.storage.failure = None
    await bench.resume()
    assert await states(bench) == {
        "failed.txt": FileState.FAILED,
        "pending.txt": FileState.INDEXED,
        "stored.txt": FileState.STORED,
    }
    assert await bench.found("年假") == ["年假 五天"]


async def test_resuming_survives_a_pending_file_that_is_gone(bench: Workbench):
    await bench.stop()
    bench.storage.failure = Crash()
    for name in ("a.txt", "b.txt"):
        bench.start()
        with pytest.raises(Crash):
            await bench.death(bench.add("年假", FileName(name)))
    bench.storage.failure = None
    bench.folders.remove(BASE, FileName("a.txt"))
    await bench.resume()
    assert await states(bench) == {"a.txt": FileState.FAILED, "b.txt": FileState.INDEXED}


async def test_resuming_fails_what_cannot_be_put_in_line_and_goes_on(bench: Workbench):
    """A base may name a splitter that this version no longer has."""
    await bench.create(OTHER)
    other = await bench.service.get(OTHER)
    for base in (await bench.service.get(BASE), other):
        await bench.service.add_file(base.name, Upload(FILE, io.BytesIO("年假 五天".encode()), index=False))
        async with bench.storage.begin() as work:
            stored = await work.files.find(base.id, FILE)
            assert stored is not None
            await work.files.save(dataclasses.replace(stored, state=FileState.PENDING))
    async with bench.storage.begin() as work:
        await work.knowledge_bases.update(dataclasses.replace(other, splitting=Splitting("paper")))
    await bench.resume()
    (failed,) = await bench.service.files(OTHER)
    assert (failed.state, failed.failure and failed.failure.code) == (FileState.FAILED, "variant.unknown")
    assert await states(bench) == {FILE.value: FileState.INDEXED}


async def test_resuming_finishes_a_deletion(bench: Workbench):
    await bench.create(OTHER)
    await bench.add("年假 五天")
    await bench.add("年假 六天", base=OTHER)
    base = await bench.service.get(BASE)
    bench.folders.discard(base)  # the first step of a deletion, then the process dies
    await bench.resume()
    assert [base.name for base, _ in await bench.service.bases()] == [OTHER]
    assert await bench.indexes.vectors.ids(base.id) == set()
    assert await bench.indexes.keywords.ids(base.id) == set()
    assert [path.name for path in bench.root.iterdir()] == ["other"]
    assert await bench.found("年假", base=OTHER) == ["年假 六天"]


async def test_a_base_deleted_while_a_file_comes_in_does_not_come_back(bench: Workbench):
    bench.embedder.gate = asyncio.Event()
    coming = asyncio.create_task(bench.add("年假 五天"))
    await bench.embedder.reached.wait()
    await bench.service.delete(BASE)
    bench.embedder.gate.set()
    with pytest.raises(KnowledgeBaseNotFound) as gone:
        await coming
    assert gone.value.facts == {"name": BASE.value}
    assert bench.folders.bases() == []
    assert list(bench.root.iterdir()) == []


async def test_a_base_may_say_how_its_files_are_cut(bench: Workbench):
    own = Splitting("sentences", 120, 10)
    with pytest.raises(UnknownVariant):
        await bench.service.create(NewKnowledgeBase(KnowledgeBaseName("no"), splitting=Splitting("paper")))
    assert [base.name for base, _ in await bench.service.bases()] == [BASE]
    await bench.service.create(NewKnowledgeBase(OTHER, splitting=Splitting(chunk_chars=120, overlap_chars=10)))
    assert (await bench.service.get(OTHER)).splitting == Splitting(None, 120, 10)
    await bench.stop()
    for base, asked, expected in (
        (OTHER, Splitting(), (120, 10)),
        (OTHER, Splitting(chunk_chars=60), (60, 10)),
        (BASE, Splitting(), (250, 50)),
    ):
        upload = Upload(FILE, io.BytesIO("年假".encode()), replace=True, wait=False, splitting=asked)
        record = await bench.service.add_file(base, upload)
        async with bench.storage.begin() as work:
            job = await work.jobs.find(record.id)
        assert job is not None
        assert (job.splitter.options["chunk_chars"], job.splitter.options["overlap_chars"]) == expected
    assert own.over(Splitting(None, 50, 5)) == own
    assert Splitting(overlap_chars=0).over(own) == Splitting("sentences", 120, 0)
