"""The measures of a ranking, against values worked out by hand, and what must hold of any ranking."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.evaluation.metrics.ranking import hit_at, ndcg, reciprocal_rank, satisfied_at

NAMES = st.lists(st.sampled_from("abcdefghijkl"), unique=True)
GROUPS = st.lists(st.sets(st.sampled_from("abcdefghijklmn"), min_size=1, max_size=3), min_size=1, max_size=3)


@pytest.mark.parametrize(
    ("ranked", "groups", "rank"),
    [
        ("abc", [{"b"}], 2),
        ("abc", [{"c", "b"}], 2),
        ("abc", [{"a"}, {"c"}], 3),
        ("abc", [{"a"}, {"x"}], None),
        ("abc", [], None),
        ("", [{"a"}], None),
    ],
)
def test_the_rank_that_satisfies(ranked: str, groups: list[set[str]], rank: int | None):
    assert satisfied_at(ranked, groups) == rank


def test_hits_and_reciprocal_ranks():
    ranked = list("abcdefghijkl")
    assert [hit_at(ranked, [{"c"}], depth) for depth in (1, 2, 3, 5)] == [0, 0, 1, 1]
    assert reciprocal_rank(ranked, [{"d"}]) == 0.25
    assert reciprocal_rank(ranked, [{"k"}]) == 0  # rank 11
    assert reciprocal_rank(ranked, [{"k"}], depth=11) == 1 / 11


def test_ndcg():
    assert ndcg(list("abc"), {"a"}) == 1
    assert ndcg(list("abc"), {"c"}) == pytest.approx(0.5)  # 1 / log2(4)
    ideal = 1 + 1 / math.log2(3)
    assert ndcg(list("abcd"), {"a", "d"}) == pytest.approx((1 + 1 / math.log2(5)) / ideal)
    assert ndcg(list("abc"), {"x"}) == 0
    assert ndcg(list("abc"), set()) == 0
    many = [str(number) for number in range(20)]
    assert ndcg(many, set(many)) == 1  # ten are ideal where there is room for ten


@given(NAMES, GROUPS)
def test_bounds_and_depth(ranked: list[str], groups: list[set[str]]):
    hits = [hit_at(ranked, groups, depth) for depth in range(1, 13)]
    assert hits == sorted(hits)
    assert set(hits) <= {0.0, 1.0}
    assert 0 <= reciprocal_rank(ranked, groups) <= hit_at(ranked, groups, 10)
    assert 0 <= ndcg(ranked, set().union(*groups)) <= 1 + 1e-12


@given(NAMES.filter(bool), st.data())
def test_a_gold_file_moved_up_never_lowers_a_measure(ranked: list[str], draw: st.DataObject):
    place = draw.draw(st.integers(0, len(ranked) - 1))
    gold = {ranked[place]}
    better = [ranked[place], *ranked[:place], *ranked[place + 1 :]]
    assert ndcg(better, gold) >= ndcg(ranked, gold)
    assert reciprocal_rank(better, [gold]) >= reciprocal_rank(ranked, [gold])
