"""Every splitter on the shelf against the splitter contract."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from services.api.domain.knowledge import Document, Place, Section
from services.api.domain.ports import Splitter
from services.api.knowledge.splitters import SPLITTERS
from services.api.knowledge.splitters.measure import THIRDS, width
from tests.contract.splitter import TOKENIZER, SplitterContract, inherited, tables, tokens_read


class Shelf(SplitterContract):
    """The contract for the variant under a name."""

    name: str

    @classmethod
    def build(cls, chunk_chars: int, overlap_chars: int, **options: Any) -> Splitter:
        return SPLITTERS.build(cls.name, chunk_chars=chunk_chars, overlap_chars=overlap_chars, **options)


class KeepsTables(Shelf):
    """Of variants that cut a table between its rows."""

    @given(table=tables)
    @inherited
    def test_tables_are_cut_between_rows_and_keep_their_header(self, table: str):
        self.check(table, {}, 60)

    @given(table=tables)
    @inherited
    def test_tables_are_cut_between_rows_by_tokens_too(self, table: str):
        self.check(table, {"tokenizer": str(TOKENIZER), "window_tokens": 100}, 400)

    def check(self, table: str, options: dict[str, Any], chunk_chars: int) -> None:
        header, rule, *rows = table.split("\n")
        last = len(rows) + 1
        section = Section(table, Place(sheet="表", row=2, last_row=last), whole=True)
        passages = self.build(chunk_chars, 10, **options).split(Document((section,)))
        body = []
        for passage in passages:
            assert passage.text.startswith(f"{header}\n{rule}\n")
            assert width(passage.text) <= chunk_chars * THIRDS
            assert tokens_read(passage) <= options.get("window_tokens", 1000)
            body.append(passage.text.split("\n")[2:])
        assert [row for part in body for row in part] == rows
        if len(passages) > 1:
            assert passages[0].place.row == 2
            assert passages[-1].place.last_row == last
            for part, passage in zip(body, passages, strict=True):
                assert (passage.place.last_row or 0) - (passage.place.row or 0) + 1 == len(part)


class TestAliTextSplitter(KeepsTables):
    name = "AliTextSplitter"


class TestChineseRecursiveTextSplitter(Shelf):
    name = "ChineseRecursiveTextSplitter"


class TestChineseTextSplitter(Shelf):
    name = "ChineseTextSplitter"


class TestMarkdownHeaderTextSplitter(KeepsTables):
    name = "MarkdownHeaderTextSplitter"


class TestRecursiveCharacterTextSplitter(Shelf):
    name = "RecursiveCharacterTextSplitter"


class TestSpacyTextSplitter(Shelf):
    name = "SpacyTextSplitter"


class TestRecursive(Shelf):
    name = "recursive"


class TestSentences(KeepsTables):
    name = "sentences"


def test_every_variant_is_held_to_the_contract():
    assert sorted(
        held.name for held in (*Shelf.__subclasses__(), *KeepsTables.__subclasses__()) if hasattr(held, "name")
    ) == list(SPLITTERS)


@pytest.mark.parametrize("name", list(SPLITTERS))
def test_the_shelf_builds_with_defaults(name: str):
    assert SPLITTERS.build(name).split(Document((Section("一句。"),)))[0].text == "一句。"


@pytest.mark.parametrize("name", list(SPLITTERS))
def test_an_unknown_option_is_refused(name: str):
    with pytest.raises(TypeError, match="chunk_size"):
        SPLITTERS.build(name, chunk_size=3)
