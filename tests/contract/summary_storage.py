"""What every Storage must do with summaries of files."""

from __future__ import annotations

import dataclasses

import pytest

from services.api.domain.knowledge import FileId, FileSummary, KnowledgeFile
from services.foundation.errors import FileNotInBase
from tests.contract.storage import MOMENT, make_base, make_file


def make_summary(file: KnowledgeFile, text: str = "一年十天。😀") -> FileSummary:
    return FileSummary(file.id, file.version, text, "extractive", is_quoted=True, created_at=MOMENT)


class SummaryStorageContract:
    """Inherit it beside StorageContract, whose fixtures it uses."""

    async def test_a_summary_comes_back_and_the_next_takes_its_place(self, storage, base, file):
        for text in ("一", "二"):
            async with storage.begin() as work:
                await work.summaries.save(make_summary(file, text))
        async with storage.begin() as work:
            assert await work.summaries.of_base(base.id) == {file.id: make_summary(file, "二")}

    async def test_a_summary_is_shown_of_the_version_that_it_is_of(self, storage, base, file):
        async with storage.begin() as work:
            await work.summaries.save(make_summary(file))
            await work.files.save(dataclasses.replace(file, version=2))
        async with storage.begin() as work:
            assert await work.summaries.of_base(base.id) == {}
            await work.files.save(file)
            assert await work.summaries.of_base(base.id) == {file.id: make_summary(file)}

    async def test_a_base_has_its_own_summaries(self, storage, base, file):
        other = make_base("b", "b")
        its_file = make_file(other)
        async with storage.begin() as work:
            await work.knowledge_bases.add(other)
            await work.files.save(its_file)
            await work.summaries.save(make_summary(file))
            await work.summaries.save(make_summary(its_file))
        async with storage.begin() as work:
            assert set(await work.summaries.of_base(other.id)) == {its_file.id}

    async def test_a_summary_goes_with_its_file_and_comes_with_none(self, storage, base, file):
        async with storage.begin() as work:
            await work.summaries.save(make_summary(file))
        async with storage.begin() as work:
            await work.files.remove(file.id)
            assert await work.summaries.of_base(base.id) == {}
        with pytest.raises(FileNotInBase):
            async with storage.begin() as work:
                await work.summaries.save(dataclasses.replace(make_summary(file), file_id=FileId("9" * 32)))
