"""The measures of an answer, against values worked out by hand, and what must hold of any text."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.evaluation.metrics.answers import contains, token_f1, tokens
from services.evaluation.metrics.citations import (
    REFUSALS,
    RefusalRule,
    Refusing,
    citation_precision,
    citation_recall,
    cited_numbers,
)
from services.evaluation.metrics.measuring import answer_metrics, search_metrics
from services.evaluation.records import FoundPassage, GivenAnswer, Source
from tests.architecture.sources import ROOT
from tests.unit.evaluation.results import asked

TEXT = st.text(st.sampled_from("ab 年假五天3.[1]，A"), max_size=12)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The Cat, sat!", ["cat", "sat"]),
        ("年假有５天[1]。", ["年", "假", "有", "5", "天"]),
        ("136 次", ["136", "次"]),
        ("$1,577.00 in 2018", ["1577.00", "in", "2018"]),
        ("GRB 090423【2】", ["grb", "090423"]),
        ("A+", []),
    ],
)
def test_tokens(text: str, found: list[str]):
    assert tokens(text) == found


def test_containment_is_by_tokens_and_needs_every_part():
    assert contains("He had 136 sacks.", [["136"]]) == 1
    assert contains("He had 11362 sacks.", [["136"]]) == 0
    assert contains("It is 13.6 m.", [["136"]]) == 0
    assert contains("用汉语和法语教学", [["汉语", "法语", "英语"]]) == 0
    assert contains("用汉语、法语和英语教学", [["德语"], ["汉语", "法语", "英语"]]) == 1
    assert contains("被评为A+。", [["A+"]]) == 1
    assert contains("被评为B。", [["A+"]]) == 0
    assert contains("anything", []) == 0


def test_f1():
    assert token_f1("five days", [["five days"]]) == 1
    assert token_f1("it is five days", [["five days"]]) == pytest.approx(2 / 3)  # precision 1/2, recall 1
    assert token_f1("年假五天", [["五天"]]) == pytest.approx(2 / 3)
    assert token_f1("days days", [["days"]]) == pytest.approx(2 / 3)  # a token counts once for each time it is wanted
    assert token_f1("no", [["yes"], ["no"]]) == 1
    assert (token_f1("", [["x"]]), token_f1("x", [])) == (0, 0)


@given(TEXT, st.lists(st.lists(TEXT, min_size=1, max_size=2), min_size=1, max_size=3))
def test_bounds_and_more_alternatives_never_lower_a_measure(answer: str, alternatives: list[list[str]]):
    for measure in (contains, token_f1):
        assert 0 <= measure(answer, alternatives[:1]) <= measure(answer, alternatives) <= 1
    assert token_f1(answer, [[answer]]) == 1


def test_citations():
    assert cited_numbers("甲[1]，乙【2】。[1, 3] [x] [1234]") == [1, 2, 3]
    sources = {1: "a", 2: "b", 3: "a"}
    assert citation_precision("[1][2]", sources, ["a"]) == 0.5
    assert citation_precision("[1][3]", sources, ["a"]) == 1
    assert citation_precision("[1][9]", sources, ["a"]) == 0.5  # there is no ninth source
    assert citation_precision("none", sources, ["a"]) is None
    assert citation_recall("[1]", sources, [["a", "c"], ["b"]]) == 0.5
    assert citation_recall("none", sources, [["a"]]) == 0


@pytest.mark.parametrize(
    ("rule", "answer", "refuses"),
    [
        (RefusalRule.EITHER, "五天[1]", False),
        (RefusalRule.EITHER, "五天", True),
        (RefusalRule.SENTENCE, "五天", False),
        (RefusalRule.SENTENCE, "抱歉，已知信息中没有答案[1]。", True),
        (RefusalRule.NO_CITATION, "已知信息中没有答案[1]", False),
        (RefusalRule.SENTENCE, "the given material does not answer this question: …", True),
        (RefusalRule.SENTENCE, "", False),
        (RefusalRule.EITHER, "", True),
    ],
)
def test_the_rule_of_refusals(rule: RefusalRule, answer: str, refuses: bool):
    assert Refusing(rule).is_refusal(answer) is refuses


def test_the_built_in_model_refuses_with_a_sentence_that_is_known():
    words = yaml.safe_load((ROOT / "services/worker/engines/extractive/words.yaml").read_text(encoding="utf-8"))
    for language in words:
        assert any(sentence in words[language]["no_answer"] for sentence in REFUSALS)


def test_the_measures_of_a_question():
    passages = [FoundPassage(name, None) for name in ("b.txt", "b.txt", "a.txt")]
    found = search_metrics(asked(), passages)
    assert (found["hit@1"], found["hit@3"], found["mrr@10"]) == (0, 1, 0.5)  # each file counts once
    answer = GivenAnswer("five days [2]", "q", (Source(2, "a.txt"),))
    assert answer_metrics(asked(), answer, Refusing()) == {
        "false_refusal": 0, "contains": 1, "token_f1": 1, "citation_precision": 1, "citation_recall": 1,
    }  # fmt: skip
    assert "contains" not in answer_metrics(asked(answers=()), answer, Refusing())
    nothing = asked(is_answerable=False, gold=())
    assert search_metrics(nothing, passages) == {}
    assert answer_metrics(nothing, answer, Refusing()) == {"refusal": 0}
