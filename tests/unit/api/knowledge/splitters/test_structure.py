"""Lists and code are kept whole; titles are told to what follows them."""

from __future__ import annotations

from typing import Any

import pytest

from services.api.domain.knowledge import Document, Passage, Place, Section
from services.api.knowledge.splitters import SPLITTERS
from services.api.knowledge.splitters.structure import with_lists
from services.api.knowledge.splitters.titles import is_title
from tests.contract.splitter import TOKENIZER, tokens_read


def split(*sections: Section, chunk_chars: int = 30, overlap_chars: int = 0, **options: Any) -> list[str]:
    built = SPLITTERS.build("sentences", chunk_chars=chunk_chars, overlap_chars=overlap_chars, **options)
    return [passage.text for passage in built.split(Document(sections))]


@pytest.mark.parametrize(
    ("texts", "wholes"),
    [
        (["- 甲\n- 乙"], [True]),
        (["应当具备：\n（一）名称；\n（二）住所；"], [True]),
        (["1. one", "2. two", "then"], [True, False]),
        (["1、甲", "2、乙"], [True]),
        (["a) one", "b) two"], [True]),
        (["- 甲", "prose"], [False, False]),
        (["prose\nprose\nprose\n- 甲\n- 乙"], [False]),
        (["3. Title\nand a text under it"], [False]),
        (["3.5 metres\n4.5 metres"], [False]),
        (["-dash\n-dash"], [False]),
    ],
)
def test_what_is_a_list(texts: list[str], wholes: list[bool]):
    found = list(with_lists([Section(text) for text in texts]))
    assert [section.whole for section in found] == wholes
    assert "\n".join(section.text for section in found) == "\n".join(texts)


def test_code_is_not_taken_for_a_list():
    code = Section("- a: 1\n- b: 2", whole=True)
    assert list(with_lists([code, Section("- 甲\n- 乙")])) == [code, Section("- 甲\n- 乙", whole=True)]


def test_a_list_that_fits_is_not_cut():
    items = "应当具备以下条款：\n（一）名称；\n（二）住所；\n（三）期限；"
    assert split(Section("用人单位与劳动者协商一致，可以订立劳动合同。"), Section(items)) == [
        "用人单位与劳动者协商一致，可以订立劳动合同。",
        items,
    ]


def test_a_list_that_does_not_fit_is_cut_between_items():
    items = [f"- 第{number}项。内容是这样的。" for number in range(8)]
    found = split(Section("\n".join(items)))
    assert "\n".join(found).split("\n") == items
    assert all(len(passage) <= 32 for passage in found)


def test_code_is_cut_between_lines_not_between_sentences():
    code = [f"value_{number} = read(); // Reads it. Then goes on." for number in range(6)]
    found = split(Section("\n".join(code), whole=True), chunk_chars=40)
    assert "\n".join(found).split("\n") == code
    assert len(found) == 3


def test_a_line_of_code_too_long_is_cut_all_the_same():
    found = split(Section("x = 1\n" + "y" * 200, whole=True), chunk_chars=20)
    assert "".join(found).replace("\n", "") == "x = 1" + "y" * 200


def test_code_is_cut_between_lines_by_tokens_too():
    code = [f"0x{number:04x} 0x{number * 7:04x} 0x{number * 13:04x}" for number in range(30)]
    found = split(Section("\n".join(code), whole=True), chunk_chars=250, tokenizer=str(TOKENIZER), window_tokens=128)
    assert "\n".join(found).split("\n") == code
    assert max(tokens_read(Passage(text, Place())) for text in found) <= 128


@pytest.mark.parametrize("text", ["1.1 总则说明", "第1章 合同", "2 Scope", "附件3 清单"])
def test_titles(text: str):
    assert is_title(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "总则",
        "1.1 总则",
        "1.1 总则。",
        "2024",
        "1.2.3.4 a",
        "第1章" + "长" * 20,
        "合同的订立和变更第1章",
        "12-34-56 ab",
    ],
)
def test_no_titles(text: str):
    assert not is_title(text)


def test_what_follows_a_title_says_so_on_request():
    title, body = Section("第1章 总则", Place(page=1)), Section("正文。", Place(page=2))
    assert split(Section("前文。"), title, body) == ["前文。", "第1章 总则", "正文。"]
    told = ["前文。", "第1章 总则", "下文与(第1章 总则)有关。正文。"]
    assert split(Section("前文。"), title, body, title_enhance=True) == told
    narrow: dict[str, Any] = {"tokenizer": str(TOKENIZER), "window_tokens": 12}
    assert split(title, body, title_enhance=True, **narrow) == ["第1章 总则", "正文。"]
