"""What every Storage must do for ingest jobs and the chunks they stage; stands beside `StorageContract`."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from services.api.domain.ingestion import Hold, IngestJob, JobLost, Progress, Stage
from services.api.domain.knowledge import (
    Chunk,
    ChunkId,
    FileId,
    KnowledgeBaseId,
    KnowledgeFile,
    Place,
    SplitterChoice,
)
from services.api.domain.names import FileName
from services.foundation.errors import FileNotInBase, StoreFailed
from tests.contract.storage import make_file

CUT = SplitterChoice("sentences", {"chunk_chars": 250, "overlap_chars": 50})

MINE, OTHERS = Hold("mine", 30.0), Hold("another's", 30.0)


def job_of(file: KnowledgeFile) -> IngestJob:
    return IngestJob(file.id, file.sha256, CUT)


def staged(file: KnowledgeFile, count: int, *, start: int = 0) -> list[Chunk]:
    return [
        Chunk(
            ChunkId(f"{file.id[0]}{file.id[-1]}{number:030x}"), file.knowledge_base_id, file.id, file.name,
            file.version, number - start, f"第{number}段 😀", Place(page=number + 1, heading=("总则", "假期")),
        )
        for number in range(start, start + count)
    ]  # fmt: skip


async def another(storage, file: KnowledgeFile, name: str) -> KnowledgeFile:
    made = dataclasses.replace(file, id=FileId("d" * 32), name=FileName(name))
    async with storage.begin() as work:
        await work.files.save(made)
    return made


class JobStorageContract:
    """Uses `storage`, `base` and `file` of `StorageContract`."""

    async def test_a_job_comes_back_as_it_was_put_and_changed(self, storage, base, file):
        job = job_of(file)
        async with storage.begin() as work:
            assert await work.jobs.find(file.id) is None
            await work.jobs.put(job)
        later = dataclasses.replace(
            job, attempt=2, is_staged=True, warnings=("第 2 页没有文字",), loader="PdfLoader", splitter_class="S"
        )
        async with storage.begin() as work:
            assert await work.jobs.find(file.id) == job
            assert await work.jobs.take(file.id, MINE)
            await work.jobs.save(later, MINE.holder)
        async with storage.begin() as work:
            assert await work.jobs.find(file.id) == later

    async def test_a_job_belongs_to_a_file(self, storage, base, file):
        with pytest.raises(FileNotInBase):
            async with storage.begin() as work:
                await work.jobs.put(dataclasses.replace(job_of(file), file_id=FileId("f" * 32)))

    async def test_jobs_are_claimed_once_each_the_longest_waiting_first(self, storage, base, file):
        second = await another(storage, file, "b.txt")
        for one in (file, second):
            async with storage.begin() as work:
                await work.jobs.put(job_of(one))
        async with storage.begin() as work:
            first = await work.jobs.claim(MINE)
        assert first == dataclasses.replace(job_of(file), attempt=1)
        async with storage.begin() as work:
            assert await work.jobs.claim(OTHERS) == dataclasses.replace(job_of(second), attempt=1)
        async with storage.begin() as work:
            assert await work.jobs.claim(MINE) is None
            assert await work.jobs.held(MINE.holder) == {file.id: False}
            assert await work.jobs.is_any_held()

    async def test_nobody_leaves_empty_handed_while_a_job_waits(self, storage, base):
        files = [make_file(base, f"{number}.txt", f"{number:x}") for number in range(12)]
        async with storage.begin() as work:
            for file in files:
                await work.files.save(file)
                await work.jobs.put(job_of(file))

        async def claim(number: int) -> FileId | None:
            async with storage.begin() as work:
                job = await work.jobs.claim(Hold(f"holder {number}", 30.0))
            return None if job is None else job.file_id

        claimed = await asyncio.gather(*(claim(number) for number in range(12)))
        assert set(claimed) == {file.id for file in files}

    async def test_many_put_the_same_on_record_as_stale_at_once(self, storage, base, file):
        ids = [chunk.id for chunk in staged(file, 40)]

        async def add(number: int) -> None:
            async with storage.begin() as work:
                await work.stale.add(base.id, ids[number:] if number % 2 else ids[::-1])
                await asyncio.sleep(0)

        await asyncio.gather(*(add(number) for number in range(8)))
        async with storage.begin() as work:
            assert set((await work.stale.some(limit=100))[base.id]) == set(ids)

    async def test_what_was_begun_before_comes_last(self, storage, base, file):
        second = await another(storage, file, "b.txt")
        async with storage.begin() as work:
            await work.jobs.put(dataclasses.replace(job_of(file), attempt=1))
            await work.jobs.put(job_of(second))
        async with storage.begin() as work:
            assert (await work.jobs.claim(MINE)).file_id == second.id

    async def test_what_is_held_changes_for_its_holder_only(self, storage, base, file):
        async with storage.begin() as work:
            await work.jobs.put(job_of(file))
            await work.jobs.claim(MINE)
        for attempt in (
            lambda work: work.jobs.save(job_of(file), OTHERS.holder),
            lambda work: work.jobs.renew(file.id, OTHERS, Progress(Stage.READING)),
        ):
            async with storage.begin() as work:
                with pytest.raises(JobLost):
                    await attempt(work)
        async with storage.begin() as work:
            await work.jobs.let_go(file.id, OTHERS)
            assert await work.jobs.held(MINE.holder) == {file.id: False}

    async def test_a_lease_that_ran_out_is_anybodys(self, storage, base, file):
        async with storage.begin() as work:
            await work.jobs.put(job_of(file))
            await work.jobs.claim(Hold("dead", -1.0))
            assert not await work.jobs.is_any_held()
        async with storage.begin() as work:
            assert (await work.jobs.claim(MINE)).attempt == 2
        async with storage.begin() as work:
            with pytest.raises(JobLost):
                await work.jobs.renew(file.id, Hold("dead", 5.0), Progress(Stage.READING))

    async def test_a_holder_is_asked_and_hands_over(self, storage, base, file):
        async with storage.begin() as work:
            await work.jobs.put(job_of(file))
            await work.jobs.claim(MINE)
        async with storage.begin() as work:
            assert not await work.jobs.take(file.id, OTHERS)
        async with storage.begin() as work:
            assert await work.jobs.held(MINE.holder) == {file.id: True}
            await work.jobs.let_go(file.id, MINE)
        async with storage.begin() as work:
            assert await work.jobs.claim(MINE) is None, "it is for the one who asked"
            assert await work.jobs.take(file.id, OTHERS)
            assert (await work.jobs.find(file.id)).attempt == 0, "an attempt that was left does not count"

    async def test_what_is_let_go_unasked_is_free(self, storage, base, file):
        async with storage.begin() as work:
            await work.jobs.put(job_of(file))
            await work.jobs.claim(MINE)
        async with storage.begin() as work:
            await work.jobs.let_go(file.id, MINE)
        async with storage.begin() as work:
            assert (await work.jobs.claim(OTHERS)).attempt == 1

    async def test_a_holder_that_comes_back_frees_what_it_held_and_asked_for(self, storage, base, file):
        second = await another(storage, file, "b.txt")
        async with storage.begin() as work:
            await work.jobs.put(job_of(file))
            await work.jobs.put(job_of(second))
            assert await work.jobs.take(file.id, MINE)
            assert await work.jobs.take(second.id, OTHERS)
            assert not await work.jobs.take(second.id, MINE)
        async with storage.begin() as work:
            await work.jobs.free(MINE.holder)
        async with storage.begin() as work:
            assert await work.jobs.held(MINE.holder) == {}
            assert await work.jobs.held(OTHERS.holder) == {second.id: False}

    async def test_nobody_need_hold_the_job_of_a_file_that_has_none(self, storage, base, file):
        async with storage.begin() as work:
            assert await work.jobs.take(file.id, MINE)
            assert await work.jobs.find(file.id) is None

    async def test_how_far_the_jobs_of_a_base_are(self, storage, base, file):
        async with storage.begin() as work:
            await work.jobs.put(job_of(file))
            assert await work.jobs.progress(base.id) == {file.id: Progress(Stage.WAITING)}
            await work.jobs.claim(MINE)
            await work.jobs.renew(file.id, MINE, Progress(Stage.INDEXING, 3, 9))
        async with storage.begin() as work:
            assert await work.jobs.progress(base.id) == {file.id: Progress(Stage.INDEXING, 3, 9)}
            assert await work.jobs.progress(KnowledgeBaseId("e" * 32)) == {}
            assert await work.jobs.unfinished([file.id, FileId("f" * 32)]) == {file.id}
            await work.jobs.remove(file.id)
            assert await work.jobs.unfinished([file.id]) == set()

    async def test_staged_chunks_are_taken_batch_by_batch_and_seen_by_nobody(self, storage, base, file):
        chunks = staged(file, 5)
        async with storage.begin() as work:
            await work.staged.add(file.id, chunks[3:])
            await work.staged.add(file.id, chunks[:3])
        async with storage.begin() as work:
            assert await work.staged.next_batch(file, limit=2) == chunks[:2]
            assert await work.staged.next_batch(file, after=1, limit=2) == chunks[2:4]
            await work.staged.mark([chunk.id for chunk in chunks[:2]])
        async with storage.begin() as work:
            assert await work.staged.next_batch(file, limit=10) == chunks[2:]
            assert await work.staged.count_waiting(file.id) == 3
            assert await work.staged.ids(file.id) == [chunk.id for chunk in chunks]
            assert await work.chunks.of_file(file.id) == []
            assert await work.chunks.ids_of_base(base.id) == set()

    async def test_the_staged_chunks_of_a_base(self, storage, base, file):
        chunks = staged(file, 3)
        async with storage.begin() as work:
            await work.staged.add(file.id, chunks)
            await work.staged.mark([chunks[0].id])
        async with storage.begin() as work:
            assert await work.staged.ids_of_base(base.id) == {chunk.id for chunk in chunks}
            assert await work.staged.ids_of_base(KnowledgeBaseId("e" * 32)) == set()

    async def test_the_first_staged_texts_in_order(self, storage, base, file):
        chunks = staged(file, 5)
        async with storage.begin() as work:
            await work.staged.add(file.id, chunks[::-1])
        async with storage.begin() as work:
            assert await work.staged.texts(file.id, limit=3) == [chunk.text for chunk in chunks[:3]]
            assert len(await work.staged.texts(file.id, limit=9)) == 5
            assert await work.staged.texts(FileId("f" * 32), limit=9) == []

    async def test_publishing_replaces_the_live_chunks(self, storage, base, file):
        old, new = staged(file, 4), staged(file, 3, start=2)  # two of them are the same
        async with storage.begin() as work:
            await work.chunks.replace(file, old)
            await work.staged.add(file.id, new)
        async with storage.begin() as work:
            await work.staged.publish(file.id)
        async with storage.begin() as work:
            assert await work.chunks.of_file(file.id) == new
            assert await work.staged.ids(file.id) == []

    async def test_a_chunk_is_staged_once(self, storage, base, file):
        async with storage.begin() as work:
            await work.staged.add(file.id, staged(file, 2))
        async with storage.begin() as work:
            with pytest.raises(StoreFailed):
                await work.staged.add(file.id, staged(file, 1))
        async with storage.begin() as work:
            await work.staged.remove(file.id)
            await work.staged.add(file.id, staged(file, 1))

    async def test_thousands_of_staged_chunks(self, storage, base, file):
        chunks = staged(file, 2500)
        async with storage.begin() as work:
            await work.staged.add(file.id, chunks)
            await work.staged.mark([chunk.id for chunk in chunks[:2000]])
        async with storage.begin() as work:
            assert await work.staged.next_batch(file, limit=600) == chunks[2000:]

    async def test_a_removed_file_takes_its_job_and_staged_chunks(self, storage, base, file):
        async with storage.begin() as work:
            await work.jobs.put(job_of(file))
            await work.staged.add(file.id, staged(file, 2))
        async with storage.begin() as work:
            await work.files.remove(file.id)
        async with storage.begin() as work:
            assert await work.jobs.find(file.id) is None
            assert await work.staged.ids(file.id) == []

    async def test_stale_chunks_are_kept_until_they_are_forgotten_or_back(self, storage, base, file):
        chunks = staged(file, 5)
        ids = [chunk.id for chunk in chunks]
        async with storage.begin() as work:
            assert await work.stale.some(limit=10) == {}
            await work.stale.add(base.id, ids)
            await work.stale.add(base.id, ids[:1])
        async with storage.begin() as work:
            assert len((await work.stale.some(limit=2))[base.id]) == 2
            await work.stale.remove(ids[:1])
            await work.staged.add(file.id, chunks[1:2])
            await work.chunks.replace(file, chunks[2:3])
        async with storage.begin() as work:
            found = await work.stale.some(limit=10)
            assert {base: set(ids) for base, ids in found.items()} == {base.id: set(ids[3:])}
