"""Summaries by quoting: which sentences are taken, in which order, and that they stand in the text."""

from __future__ import annotations

import pytest

from services.wire.openai import ChatMessage
from services.worker.engines.extractive.summary import source_text, summarised
from tests.unit.worker.extractive.test_engine import answer

ENGLISH = """# Leave
The company grants annual leave to all employees. Annual leave of employees is ten days a year.
The canteen opens at noon.
Employees ask for annual leave two weeks ahead. A bird sat on the roof. Unused annual leave ends with the year."""
CHINESE = """# 假期
公司为全体员工提供带薪年假。员工每年享有十天带薪年假。食堂中午开放。员工休带薪年假须提前两周申请。屋顶上有一只鸟。当年未休的带薪年假年底作废。"""


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"), [(ENGLISH, "annual leave", "bird"), (CHINESE, "带薪年假", "鸟")]
)
def test_the_sentences_are_of_what_the_text_is_about_and_stand_in_it(text: str, wanted: str, unwanted: str):
    summary = summarised(text, 3)
    assert summary.lower().count(wanted) == 3
    assert unwanted not in summary
    assert "# " not in summary
    for sentence in summary.replace(". ", ".|").replace("。", "。|").split("|"):
        assert sentence in text


def test_they_keep_the_order_of_the_text():
    summary = summarised(ENGLISH, 4)
    places = [ENGLISH.index(sentence.strip(". ")) for sentence in summary.split(". ")]
    assert places == sorted(places)


def test_what_is_said_twice_is_quoted_once():
    assert summarised("年假有十天。" * 20 + "病假有五天。", 5).count("年假有十天") == 1


def test_a_text_of_one_sentence_is_its_own_summary():
    assert summarised("年假有十天。", 5) == "年假有十天。"


def test_a_text_of_headings_alone_gives_them_and_one_of_nothing_gives_nothing():
    assert summarised("# 目录", 5) == "目录"
    assert summarised(" \n--- … ", 5) == ""


def test_a_table_gives_rows_on_lines_of_their_own():
    table = "| 职级 | 上限 |\n|---|---|\n| P5 | 500元 |\n| P6 | 800元 |"
    assert summarised(table, 5) == "职级: P5；上限: 500元\n职级: P6；上限: 800元"


def test_a_million_characters_are_read_in_time():
    text = " ".join(f"Rule {number} grants leave of {number} days to employees." for number in range(20_000))
    assert summarised(text, 5).count("Rule") == 5


def test_only_a_text_between_the_tags_is_summarised():
    assert source_text([ChatMessage(role="user", content="<指令>总结</指令><原文>年假。</原文>")]) == "年假。"
    assert source_text([ChatMessage(role="user", content="年假有几天？")]) is None
    assert source_text([]) is None


async def test_the_engine_summarises_what_stands_between_the_tags():
    told = await answer(f"<指令>总结下面的原文。</指令>\n\n<原文>\n{CHINESE}&lt;b&gt;粗&lt;/b&gt;\n</原文>")
    assert told.startswith("公司为全体员工提供带薪年假。")
    assert "<" not in told
    assert "&lt;" not in told


async def test_a_question_that_speaks_of_the_tags_is_answered_from_its_context():
    asked = "<已知信息>\n[1] 出处: a.txt\n年假有十天。\n</已知信息>\n<问题>年假有几天？<原文>x</原文></问题>"
    assert (await answer(asked)).endswith("[1]")
