"""Words of components: citations, files, hits, requests."""

from __future__ import annotations

import pytest

from services.wire.chatchat import (
    CitationBody,
    FileDetails,
    FoundDocument,
    PresetBody,
)
from webui.components import search_test
from webui.components.answering_settings import preset_words
from webui.components.citations import absolute, label_of, link_text
from webui.components.file_table import remarks_of, size_of, state_of
from webui.i18n import texts_in

ZH, EN = texts_in("zh-CN"), texts_in("en")


def citation(**place: object) -> CitationBody:
    known = {"number": 1, "knowledge_base": "b", "file_name": "a.pdf", "excerpt": "e", "similarity": 0.5}
    return CitationBody.model_validate({**known, "chunk_id": "c", "url": "u", **place})


@pytest.mark.parametrize(
    ("place", "label"),
    [
        ({"page": 12, "heading": ["第三章", "部署"]}, "[1] a.pdf · 第 12 页 · 第三章 › 部署"),
        ({"sheet": "预算", "row": 3, "last_row": 9}, "[1] a.pdf · 工作表 预算 · 第 3–9 行"),
        ({"row": 3, "last_row": 3}, "[1] a.pdf · 第 3 行"),
        ({"row": 3}, "[1] a.pdf · 第 3 行"),
        ({}, "[1] a.pdf"),
        ({"heading": ["", "x" * 80]}, f"[1] a.pdf · …{'x' * 60}"),
    ],
)
def test_label_of_a_citation(place: dict[str, object], label: str) -> None:
    assert label_of(citation(**place), ZH) == label


def test_the_link_names_the_page_if_there_is_one() -> None:
    assert link_text(citation(page=3), EN) == "Open the file at page 3"
    assert link_text(citation(), EN) == "Open the file"


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("/download?a=b#page=2", "http://api:7861/download?a=b#page=2"),
        ("https://other/x", "https://other/x"),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        (" javascript:alert(1)", None),
        ("", None),
    ],
)
def test_only_web_addresses_are_linked(url: str, whole: str | None) -> None:
    assert absolute(url, "http://api:7861") == whole


def file(**more: object) -> FileDetails:
    known = {"name": "a", "size_bytes": 1, "state": "indexed", "version": 1, "chunk_count": 1, "modified_at": ""}
    return FileDetails.model_validate({**known, **more})


def test_state_and_remarks_of_a_file() -> None:
    assert state_of(file(), EN) == "✓ Searchable"
    assert state_of(file(state="resting"), EN) == "resting"
    torn = file(failure="It broke.", warnings=["Page 2 has no text."])
    assert remarks_of(torn, EN) == "It broke. Page 2 has no text."


def test_a_file_that_is_like_others_names_them() -> None:
    copy = file(duplicate_of="a{0}.txt", similar_to=["b.txt", "c.txt"])
    assert remarks_of(copy, EN) == "Same content as a{0}.txt. Nearly the same text as b.txt, c.txt."
    assert remarks_of(copy, ZH) == "与 a{0}.txt 内容相同。 与 b.txt, c.txt 内容相近。"
    assert remarks_of(file(), EN) == ""


@pytest.mark.parametrize(("size", "words"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KB"), (300 * 2**20, "300 MB")])
def test_size_in_words(size: int, words: str) -> None:
    assert size_of(size) == words


def test_place_of_a_hit() -> None:
    hit = FoundDocument(page_content="t", metadata={"source": "a.xlsx", "sheet": "S", "row": 2, "last_row": 4}, score=0)
    assert search_test.place_of(hit, EN) == "a.xlsx · sheet S · rows 2–4"
    hit = FoundDocument(page_content="t", metadata={"source": "a.pdf", "page": 2, "heading": "A > B"}, score=0)
    assert search_test.place_of(hit, EN) == "a.pdf · page 2 · A > B"
    several = hit.model_copy(update={"metadata": {**hit.metadata, "knowledge_base": "手册"}})
    assert search_test.place_of(several, EN) == "手册 · a.pdf · page 2 · A > B"


def test_how_near_a_hit_is() -> None:
    hit = FoundDocument(page_content="t", metadata={"source": "a", "relevance": 0.714}, score=0.4)
    assert search_test.nearness_of(hit, EN) == "similarity 80% · relevance 71%"
    unordered = FoundDocument(page_content="t", metadata={"source": "a", "relevance": None}, score=0.4)
    assert search_test.nearness_of(unordered, EN) == "similarity 80%"


def test_a_preset_says_what_no_slider_shows() -> None:
    assert preset_words(PresetBody(name="p", history_turns=0, repetition_penalty=1.2), EN) == (
        "the model sees no earlier turns · repetition penalty 1.2"
    )
    assert preset_words(PresetBody(name="p", history_turns=4), ZH) == "前文最多 4 轮"
    assert preset_words(PresetBody(name="p", top_k=4), EN) == ""
