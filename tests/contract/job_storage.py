"""What every Storage must do for ingest jobs and the chunks they stage; stands beside `StorageContract`."""

from __future__ import annotations

import dataclasses

import pytest

from services.api.domain.ingestion import IngestJob
from services.api.domain.knowledge import Chunk, ChunkId, FileId, KnowledgeFile, Place, SplitterChoice
from services.foundation.errors import FileNotInBase, StoreFailed

CUT = SplitterChoice("sentences", {"chunk_chars": 250, "overlap_chars": 50})


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


class JobStorageContract:
    """Uses `storage`, `base` and `file` of `StorageContract`."""

    async def test_a_job_comes_back_as_it_was_saved(self, storage, base, file):
        job = job_of(file)
        async with storage.begin() as work:
            assert await work.jobs.find(file.id) is None
            await work.jobs.save(job)
        later = dataclasses.replace(
            job, attempt=2, is_staged=True, warnings=("第 2 页没有文字",), loader="PdfLoader", splitter_class="S"
        )
        async with storage.begin() as work:
            assert await work.jobs.find(file.id) == job
            await work.jobs.save(later)
        async with storage.begin() as work:
            assert await work.jobs.find(file.id) == later

    async def test_a_job_belongs_to_a_file(self, storage, base, file):
        with pytest.raises(FileNotInBase):
            async with storage.begin() as work:
                await work.jobs.save(dataclasses.replace(job_of(file), file_id=FileId("f" * 32)))

    async def test_staged_chunks_are_taken_batch_by_batch_and_seen_by_nobody(self, storage, base, file):
        chunks = staged(file, 5)
        async with storage.begin() as work:
            await work.jobs.stage(file.id, chunks[3:])
            await work.jobs.stage(file.id, chunks[:3])
        async with storage.begin() as work:
            assert await work.jobs.next_batch(file, limit=2) == chunks[:2]
            await work.jobs.mark([chunk.id for chunk in chunks[:2]])
        async with storage.begin() as work:
            assert await work.jobs.next_batch(file, limit=10) == chunks[2:]
            assert await work.jobs.staged_ids(file.id) == [chunk.id for chunk in chunks]
            assert await work.chunks.of_file(file.id) == []
            assert await work.chunks.ids_of_base(base.id) == set()

    async def test_publishing_replaces_the_live_chunks_and_ends_the_job(self, storage, base, file):
        old, new = staged(file, 4), staged(file, 3, start=2)  # two of them are the same
        async with storage.begin() as work:
            await work.chunks.replace(file, old)
            await work.jobs.save(job_of(file))
            await work.jobs.stage(file.id, new)
        async with storage.begin() as work:
            await work.jobs.publish(file.id)
        async with storage.begin() as work:
            assert await work.chunks.of_file(file.id) == new
            assert await work.jobs.staged_ids(file.id) == []
            assert await work.jobs.find(file.id) is None

    async def test_unstaging_forgets_the_chunks_and_keeps_the_job(self, storage, base, file):
        async with storage.begin() as work:
            await work.jobs.save(job_of(file))
            await work.jobs.stage(file.id, staged(file, 2))
            await work.jobs.unstage(file.id)
        async with storage.begin() as work:
            assert await work.jobs.staged_ids(file.id) == []
            assert await work.jobs.find(file.id) == job_of(file)
            await work.jobs.stage(file.id, staged(file, 2))

    async def test_a_chunk_is_staged_once(self, storage, base, file):
        async with storage.begin() as work:
            await work.jobs.stage(file.id, staged(file, 2))
        async with storage.begin() as work:
            with pytest.raises(StoreFailed):
                await work.jobs.stage(file.id, staged(file, 1))

    async def test_thousands_of_staged_chunks(self, storage, base, file):
        chunks = staged(file, 2500)
        async with storage.begin() as work:
            await work.jobs.stage(file.id, chunks)
            await work.jobs.mark([chunk.id for chunk in chunks[:2000]])
        async with storage.begin() as work:
            assert await work.jobs.next_batch(file, limit=600) == chunks[2000:]

    async def test_a_removed_file_takes_its_job_and_staged_chunks(self, storage, base, file):
        async with storage.begin() as work:
            await work.jobs.save(job_of(file))
            await work.jobs.stage(file.id, staged(file, 2))
        async with storage.begin() as work:
            await work.files.remove(file.id)
        async with storage.begin() as work:
            assert await work.jobs.find(file.id) is None
            assert await work.jobs.staged_ids(file.id) == []
