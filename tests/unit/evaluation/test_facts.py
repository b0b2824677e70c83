"""Facts by rules: what is asked of which sentence, and that every answer stands in its passage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.evaluation.asking_models import first_object
from services.evaluation.generating.facts import Fact, facts

MANUAL = "公司成立于2010年。每人每年有15天年假。设备编号为ZX-2041。折扣为8.5%。\n"
MANUAL += "Milvus is a vector database for passages. It listens on port 7862 of the machine."


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        ("公司成立于2010年。", "公司成立于哪一年？", "2010年"),
        ("合同签订于2019年3月5日。", "合同签订于哪一天？", "2019年3月5日"),
        ("每人每年有15天年假。", "每人每年有几天年假？", "15"),
        ("每月补贴为300元整。", "每月补贴为多少元整？", "300"),
        ("会员的折扣为8.5%。", "会员的折扣为百分之多少？", "8.5%"),
        ("设备的编号为ZX-2041。", "设备的编号为哪个编号？", "ZX-2041"),
        ("向量数据库是一种存放向量的软件，很快。", "向量数据库是什么？", "存放向量的软件"),
        ("Milvus is a database of vectors, and fast.", "What is Milvus?", "database of vectors"),
        ("It listens on port 7862 only.", 'What belongs at ____ in: "It listens on port ____ only"?', "7862"),
    ],
)
def test_what_is_asked(sentence: str, question: str, answer: str):
    assert facts(sentence) == [Fact(question, answer, sentence)]


def test_rows_are_asked_about_under_their_heading():
    assert facts("端口：\n网关：20000\n- 网页: http://x\n", "端口")[0] == Fact(
        "“端口”中，网关是什么？", "20000", "网关：20000"
    )
    assert facts("Port: 20000", "Gateway") == [Fact('Under "Gateway", what is "Port"?', "20000", "Port: 20000")]


@pytest.mark.parametrize("text", ["", "没有什么可问的句子在这里。", "Nothing to ask about here.", "1.", "短 3 天"])
def test_what_is_not_asked(text: str):
    assert facts(text) == []


@given(
    st.lists(st.sampled_from([*MANUAL, "2010年", "15天", "AB-12", ": ", "\n", "。", "12"]), max_size=40).map("".join)
)
def test_an_answer_stands_in_its_passage_and_not_in_its_question(text: str):
    for fact in facts(text, "标题"):
        assert fact.answer in text
        assert fact.answer not in fact.question
        assert fact.evidence in text
    assert facts(text) == facts(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ('So: {"a": {"b": 2}} done', {"a": {"b": 2}}),
        ("{a}", None),
        ("none", None),
        ("[1]", None),
    ],
)
def test_the_first_object_of_a_text(text: str, found: object):
    assert first_object(text) == found
