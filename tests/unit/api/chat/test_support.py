"""Which sentences of an answer the passages support."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.chat.contexts import KnowledgeContext, Reach
from services.api.chat.support import Support, support
from services.api.domain.knowledge import Citation
from tests.unit.api.chat.samples import BASE, ListRetriever, hit

LEAVE = "员工每年有五天年假，由经理批准。"
REVENUE = "In 2023 the revenue of the group was 3.5 million euros. It grew by 7 %."


def cited(*texts: str) -> tuple[Citation, ...]:
    context = KnowledgeContext(ListRetriever(), [BASE], Reach(9))
    return context.cite([hit(text) for text in texts])


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("员工每年有五天年假。[1]", Support.SUPPORTED),
        ("年假由经理批准 [1]。", Support.SUPPORTED),
        ("员工每年有五天年假，可以累积到下一年使用。[1]", Support.PARTLY),
        ("公司在火星上有分部。[1]", Support.UNSUPPORTED),
        ("The revenue of the group was 3.5 million euros. [2]", Support.SUPPORTED),
        ("The revenue of the group was 4.5 million euros. [2]", Support.PARTLY),
        ("Profits doubled in Asia. [2]", Support.UNSUPPORTED),
        ("The revenue of the group was 3.5 million euros. [1]", Support.UNSUPPORTED),
        ("The revenue of the group was 3.5 million euros.", Support.SUPPORTED),
        ("员工每年有五天年假。[7]", Support.UNSUPPORTED),
        ("员工每年有五天年假。[1, 2]", Support.SUPPORTED),
        ("The revenue of the group was 3.5 million euros [1，2].", Support.SUPPORTED),
    ],
)
def test_a_sentence_is_compared_with_the_passages_it_cites(sentence: str, expected: Support):
    (found,) = support(sentence, cited(LEAVE, REVENUE))
    assert found.support is expected


def test_every_sentence_stands_at_its_place_with_its_numbers():
    answer = "  年假有五天。[1][2] 由经理批准！\n\n1.\n- It grew by 7 %. [2] See e.g. v1.2.3 of it"
    found = support(answer, cited(LEAVE, REVENUE))
    assert [answer[one.start : one.start + len(one.text)] for one in found] == [one.text for one in found]
    assert [one.cited for one in found[:3]] == [(1, 2), (), (2,)]


def test_without_passages_nothing_is_supported():
    assert [one.support for one in support("年假有五天。", ())] == [Support.UNSUPPORTED]


@pytest.mark.parametrize("answer", ["", " \n", "1.\n2.\n---", "[1]", "。！？"])
def test_what_says_nothing_is_no_sentence(answer: str):
    assert support(answer, cited(LEAVE)) == []


@given(st.text(max_size=200))
def test_any_text_is_cut_at_its_own_places(answer: str):
    found = support(answer, cited(LEAVE, REVENUE))
    assert all(answer[one.start :].startswith(one.text) and 0 <= one.share <= 1 for one in found)
    starts = [one.start for one in found]
    assert starts == sorted(set(starts))


@given(st.lists(st.sampled_from(["年假由经理批准。", "病假需要证明。", "报销要发票。"]), min_size=1, max_size=5))
def test_what_is_quoted_is_supported(sentences: list[str]):
    answer = "".join(f"{sentence}[1]" for sentence in sentences)
    assert {one.support for one in support(answer, cited("".join(sentences)))} == {Support.SUPPORTED}


def test_a_long_answer_takes_no_time():
    assert len(support("a.b" * 50_000 + "。", cited(LEAVE))) == 1
    assert support("." * 100_000, cited(LEAVE)) == []
