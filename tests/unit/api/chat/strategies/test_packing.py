"""Passages in groups: nothing lost, nothing out of order, nothing above the budget but what alone is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.chat.strategies.packing import estimate_tokens, fitting, pack
from services.api.chat.strategies.steps import Steps
from tests.fakes.chat_model import FakeChatModel
from tests.unit.api.chat.strategies.bench import grounding, speaker

TEXTS = st.lists(st.text(alphabet="年假a b\n12<&[]", min_size=1, max_size=60), max_size=12)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("年假", 2), ("abcdefghij", 3), ("a", 1), ("2024", 4), ("a b c d e", 3), ("年 a", 2), ("，。", 2)],
)
def test_a_letter_counts_three_tenths_and_anything_else_one(text: str, tokens: int):
    assert estimate_tokens(text) == tokens


@given(TEXTS, st.integers(0, 120))
def test_packing_loses_nothing_and_keeps_the_order(texts: list[str], budget: int):
    groups = pack(texts, estimate_tokens, budget)
    assert [text for group in groups for text in group] == texts
    assert all(groups)
    assert all(len(group) == 1 or sum(map(estimate_tokens, group)) <= budget for group in groups)


@given(TEXTS, st.integers(0, 120))
def test_no_group_could_have_taken_the_next_item(texts: list[str], budget: int):
    groups = pack(texts, estimate_tokens, budget)
    for group, after in pairwise(groups):
        assert sum(map(estimate_tokens, [*group, after[0]])) > budget


@given(TEXTS, st.integers(0, 300))
def test_a_group_fits_as_a_prompt_shows_it(texts: list[str], budget: int):
    given = grounding(*texts)
    steps = Steps(speaker(FakeChatModel()), given)
    for group in pack(given.citations, steps.passage_tokens, budget):
        assert len(group) == 1 or estimate_tokens(steps.shown(group)) <= budget


@given(TEXTS, st.integers(0, 120))
def test_what_fits_is_a_beginning_of_at_least_one(texts: list[str], budget: int):
    read = fitting(texts, estimate_tokens, budget)
    assert list(read) == texts[: len(read)]
    assert bool(read) is bool(texts)
    assert len(read) <= 1 or sum(map(estimate_tokens, read)) <= budget
