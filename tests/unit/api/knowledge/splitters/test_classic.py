"""What the splitters of 0.2.10 do under their names."""

from __future__ import annotations

import pytest

from services.api.domain.knowledge import Document, Place, Section
from services.api.knowledge.splitters import SPLITTERS


def split(name: str, *sections: Section, chunk_chars: int = 10, overlap_chars: int = 0) -> list[str]:
    built = SPLITTERS.build(name, chunk_chars=chunk_chars, overlap_chars=overlap_chars)
    return [passage.text for passage in built.split(Document(sections))]


@pytest.mark.parametrize("name", [name for name in SPLITTERS if name[0].isupper()])
def test_the_class_has_the_name_that_file_lists_show(name: str):
    assert SPLITTERS.load(name).__name__ == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("一二三四五六。\n\n甲乙丙丁。", ["一二三四五六。", "甲乙丙丁。"]),
        ("一二三四五六\n甲乙丙丁戊", ["一二三四五六", "甲乙丙丁戊"]),
        ("一二三四五六！甲乙丙丁戊", ["一二三四五六！", "甲乙丙丁戊"]),
        ("a 3.5 metres long! Really, so long as that. Yes", ["a 3.5 metres long!", "Really, so long as that. Yes"]),
        ("一二三四五六；甲乙丙丁戊", ["一二三四五六；", "甲乙丙丁戊"]),
        ("一二三四五六，甲乙丙丁戊", ["一二三四五六，", "甲乙丙丁戊"]),
        ("一二。\n\n\n\n甲乙。", ["一二。\n甲乙。"]),
        ("一二三四五六七八九十百千", ["一二三四五六七八九十", "百千"]),
        ("\n\n \n", []),
    ],
)
def test_chinese_recursive(text: str, expected: list[str]):
    assert split("ChineseRecursiveTextSplitter", Section(text)) == expected


def test_chinese_recursive_joins_the_sections_of_a_place():
    sections = [Section("甲。"), Section("乙。"), Section("丙。", Place(page=2))]
    assert split("ChineseRecursiveTextSplitter", *sections) == ["甲。\n乙。", "丙。"]
    assert split("recursive", *sections) == ["甲。", "乙。", "丙。"]


def test_chinese_recursive_repeats_what_fits():
    text = Section("一二三四。五六七。八九十百千。")
    assert split("ChineseRecursiveTextSplitter", text, overlap_chars=5) == [
        "一二三四。五六七。",
        "五六七。八九十百千。",
    ]


def test_recursive_character():
    text = Section("one two three four five six seven\n\neight nine")
    assert split("RecursiveCharacterTextSplitter", text) == ["one two three four five six", "seven", "eight nine"]


def test_spacy_puts_a_blank_line_between_sentences():
    text = Section("甲乙丙。丁戊己。庚辛壬癸。")
    assert split("SpacyTextSplitter", text) == ["甲乙丙。\n\n丁戊己。", "庚辛壬癸。"]


def test_chinese_text_makes_a_passage_of_each_sentence():
    text = Section("甲。乙！丙？一二三四五六七，八九十百。")
    assert split("ChineseTextSplitter", text, overlap_chars=5) == [
        "甲。",
        "乙！",
        "丙？",
        "一二三四五六七，",
        "八九十百。",
    ]


def test_ali_keeps_paragraphs_together():
    sections = [Section("甲乙丙。丁。"), Section("一二三。四五。"), Section("子丑寅卯辰巳。午未申。")]
    assert split("AliTextSplitter", *sections) == ["甲乙丙。丁。", "一二三。四五。", "子丑寅卯辰巳。", "午未申。"]
    assert split("AliTextSplitter", *sections[:2], chunk_chars=20) == ["甲乙丙。丁。\n一二三。四五。"]


def test_markdown_headers_become_the_heading_path():
    text = "前言。\n# 一 #\n甲。\n## 二\n乙。\n##### 五\n```sh\n# not a header\n```\n# 三\n丙。\n#hashtag"
    document = Document((Section(text, Place(heading=("书",))), Section("# code", Place(heading=("书",)), whole=True)))
    built = SPLITTERS.build("MarkdownHeaderTextSplitter", chunk_chars=100)
    found = [(passage.place.heading, passage.text) for passage in built.split(document)]
    assert found == [
        (("书",), "前言。"),
        (("书", "一"), "# 一 #\n甲。"),
        (("书", "一", "二"), "## 二\n乙。\n##### 五\n```sh\n# not a header\n```"),
        (("书", "三"), "# 三\n丙。\n#hashtag"),
        (("书",), "# code"),
    ]


def test_markdown_headers_reach_over_paragraphs_of_one_place():
    sections = [Section("# 一", Place(page=1)), Section("甲。", Place(page=1)), Section("乙。", Place(page=2))]
    built = SPLITTERS.build("MarkdownHeaderTextSplitter", chunk_chars=100)
    found = [(passage.place, passage.text) for passage in built.split(Document(tuple(sections)))]
    assert found == [(Place(page=1, heading=("一",)), "# 一\n甲。"), (Place(page=2), "乙。")]
