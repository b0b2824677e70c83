"""Every splitter on the shelf against the splitter contract."""

from __future__ import annotations

import pytest
from hypothesis import given

from services.api.domain.knowledge import Document, Place, Section
from services.api.knowledge.splitters import SPLITTERS
from services.api.knowledge.splitters.measure import THIRDS, width
from services.api.knowledge.splitters.recursive import RecursiveSplitter
from services.api.knowledge.splitters.sentences import SentenceSplitter
from tests.contract.splitter import SplitterContract, inherited, tables


class TestRecursive(SplitterContract):
    @staticmethod
    def build(chunk_chars: int, overlap_chars: int) -> RecursiveSplitter:
        return RecursiveSplitter(chunk_chars=chunk_chars, overlap_chars=overlap_chars)


class TestSentences(SplitterContract):
    @staticmethod
    def build(chunk_chars: int, overlap_chars: int) -> SentenceSplitter:
        return SentenceSplitter(chunk_chars=chunk_chars, overlap_chars=overlap_chars)

    @given(table=tables)
    @inherited
    def test_tables_are_cut_between_rows_and_keep_their_header(self, table: str):
        header, rule, *rows = table.split("\n")
        last = len(rows) + 1
        section = Section(table, Place(sheet="表", row=2, last_row=last), whole=True)
        passages = self.build(60, 10).split(Document((section,)))
        body = []
        for passage in passages:
            assert passage.text.startswith(f"{header}\n{rule}\n")
            assert width(passage.text) <= 60 * THIRDS
            body.append(passage.text.split("\n")[2:])
        assert [row for part in body for row in part] == rows
        assert passages[0].place.row == 2
        assert passages[-1].place.last_row == last
        for part, passage in zip(body, passages, strict=True):
            assert (passage.place.last_row or 0) - (passage.place.row or 0) + 1 == len(part)


@pytest.mark.parametrize("name", list(SPLITTERS))
def test_the_shelf_builds_with_defaults(name: str):
    assert SPLITTERS.build(name).split(Document((Section("一句。"),)))[0].text == "一句。"
