import pytest

from services.api.domain.knowledge import Document, Place, Section
from services.api.knowledge.splitters.measure import THIRDS, cut_at, width
from services.api.knowledge.splitters.pieces import sentences, shortened
from services.api.knowledge.splitters.sentences import SentenceSplitter


def split(*sections, chunk_chars=20, overlap_chars=0):
    found = SentenceSplitter(chunk_chars=chunk_chars, overlap_chars=overlap_chars).split(Document(sections))
    return [passage.text for passage in found]


def test_width():
    assert width("汉字，a1") == 3 * THIRDS + 2
    assert cut_at("汉字abc", 7) == 3
    assert cut_at("汉", 1) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("甲。乙！丙？丁", ["甲。", "乙！", "丙？", "丁"]),
        ("他说：“好。”走了。", ["他说：“好。”", "走了。"]),
        ("Mr. Smith paid 3.5 dollars. He left.", ["Mr. Smith paid 3.5 dollars. ", "He left."]),
        ("See e.g. Fig. 2 below. Next!", ["See e.g. Fig. 2 below. ", "Next!"]),
        ("1. 下载\n2. 运行", ["1. 下载\n", "2. 运行"]),
        ("真的?是的!好", ["真的?", "是的!", "好"]),
        ("wait... what", ["wait... ", "what"]),
    ],
)
def test_sentences(text, expected):
    assert list(sentences(text)) == expected


def test_a_long_sentence_is_cut_at_clauses_then_spaces_then_anywhere():
    assert list(shortened("一二三四五，六七八九十，甲乙", 8 * THIRDS)) == ["一二三四五，", "六七八九十，甲乙"]
    assert list(shortened("aaaa bbbb cccc", 11)) == ["aaaa bbbb ", "cccc"]
    assert list(shortened("甲" * 5, 2 * THIRDS)) == ["甲甲", "甲甲", "甲"]


def test_whole_sentences_are_packed():
    assert split(Section("一二三四五六七八九。甲乙丙丁。子丑寅卯辰巳午未。")) == [
        "一二三四五六七八九。甲乙丙丁。",
        "子丑寅卯辰巳午未。",
    ]


def test_the_last_sentences_are_repeated():
    found = split(Section("一二三四五六七八九。甲乙丙丁。子丑寅卯辰巳午未。"), overlap_chars=6)
    assert found == ["一二三四五六七八九。甲乙丙丁。", "甲乙丙丁。子丑寅卯辰巳午未。"]


def test_nothing_but_repeated_text_is_never_a_passage():
    sections = [Section("甲乙丙丁。" * 4), Section("| a |", whole=True)]
    assert len(split(*sections, chunk_chars=20, overlap_chars=10)) == 2


def test_pages_and_headings_are_not_joined():
    one, two = Place(page=1, heading=("一",)), Place(page=1, heading=("二",))
    found = split(Section("甲。", one), Section("乙。", one), Section("丙。", two), Section("丁。", Place(page=2)))
    assert found == ["甲。\n乙。", "丙。", "丁。"]


def test_whole_sections_are_unbroken_if_they_fit():
    assert split(Section("一二三四五六七八九十。"), Section("甲。\n乙。\n丙。", whole=True), chunk_chars=14) == [
        "一二三四五六七八九十。",
        "甲。\n乙。\n丙。",
    ]


def test_a_short_title_goes_above_the_first_rows():
    table = "| 名 | 数 |\n| --- | --- |\n" + "\n".join(f"| 甲{n} | {n} |" for n in range(9))
    place = Place(sheet="一", row=1, last_row=11)
    found = SentenceSplitter(chunk_chars=25, overlap_chars=0).split(
        Document((Section("库存", place), Section(table, place, whole=True)))
    )
    assert found[0].text.startswith("库存\n| 名 | 数 |\n| --- | --- |\n| 甲0 | 0 |")
    assert (found[0].place.row, found[1].place.row) == (1, (found[0].place.last_row or 0) + 1)
    assert found[-1].place.last_row == 11
    assert all("| 名 | 数 |" in passage.text for passage in found)


def test_a_row_too_long_becomes_named_values():
    table = f"| 题 | 文 |\n| --- | --- |\n| 甲 | {'很长的话。' * 10} |"
    found = split(Section(table, Place(row=2, last_row=2), whole=True))
    assert found[0].startswith("题: 甲\n文: 很长的话。")
    assert "".join(found).count("很长的话。") == 10
