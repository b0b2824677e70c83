import pytest

from services.worker.engines.extractive.language.question import Asked, asked_by, holds
from services.worker.engines.extractive.language.terms import is_chinese, question_terms, stem, terms_of


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("差旅上限是多少？", Asked.NUMBER),
        ("How many employees are there?", Asked.NUMBER),
        ("M1911在哪一年被采用？", Asked.DATE),
        ("公司何时成立？", Asked.DATE),
        ("When was it founded?", Asked.DATE),
        ("谁提出了万有引力？", Asked.PERSON),
        ("Who leads the team?", Asked.PERSON),
        ("总部在哪里？", Asked.PLACE),
        ("Where is the office?", Asked.PLACE),
        ("为什么要重启？", Asked.REASON),
        ("Why did it fail?", Asked.REASON),
        ("什么是年假？", Asked.DEFINITION),
        ("What is septicemia?", Asked.DEFINITION),
        ("产品支持蓝牙吗？", Asked.YES_NO),
        ("Is it paid?", Asked.YES_NO),
        ("包括哪些设施？", Asked.LIST),
        ("如何重启？", Asked.MANNER),
        ("介绍一下", Asked.OTHER),
    ],
)
def test_kinds(question: str, asked: Asked) -> None:
    assert asked_by(question) is asked


def test_what_the_question_says_itself_does_not_count() -> None:
    assert holds(Asked.DATE, "成立于1998年。", "公司哪一年成立？") is True
    assert holds(Asked.DATE, "1998年发生的事。", "1998年的事发生在哪一天？") is False
    assert holds(Asked.OTHER, "anything", "介绍一下") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("年假几天？", True),
        ("M1911在哪一年？", True),
        ("PyTorch CUDA GRB 090423 怎么装", True),
        ("What does 仁 mean?", False),
        ("How many?", False),
        ("", False),
    ],
)
def test_language(text: str, expected: bool) -> None:
    assert is_chinese(text) is expected


def test_terms() -> None:
    assert question_terms("公司是哪一年成立的？").pairs == {"公司", "成立"}
    assert question_terms("为什么？").singles == frozenset()
    assert question_terms("And why?").singles == frozenset()
    assert stem("engineers") == stem("engineering")
    assert "22338618" in terms_of("２２,338,618 digits").singles
