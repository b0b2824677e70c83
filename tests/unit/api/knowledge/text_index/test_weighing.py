"""What words weigh, and BM25 as FTS5 counts it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.api.knowledge.text_index.tokens import Tokens
from services.api.knowledge.text_index.weighing import (
    Found,
    RankingWeights,
    Standing,
    coverage,
    ranked,
    ranking_weight,
    rarest,
    rarity,
)

TOKENS = ["a", "b", "ab", "c", "dd", "e"]
TEXTS = st.lists(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=12).map(" ".join), min_size=3, max_size=12)


@given(texts=TEXTS, asked=st.sets(st.sampled_from(TOKENS), min_size=1))
@settings(max_examples=60, deadline=None)
def test_the_order_is_that_of_fts5(texts: list[str], asked: set[str]):
    holding = {token: sum(token in text.split() for text in texts) for token in asked}
    weights = {token: ranking_weight(held, len(texts)) for token, held in holding.items() if held}
    standing = Standing(len(texts), 2 * sum(len(text.split()) for text in texts))
    found = [Found(str(at), text, text) for at, text in enumerate(texts) if asked & set(text.split())]
    ours = [each.chunk for each in ranked(found, RankingWeights(weights, weights), standing)]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE f USING fts5(words, bigrams)")
        connection.executemany("INSERT INTO f (rowid, words, bigrams) VALUES (?, ?, ?)",
                               [(at, text, text) for at, text in enumerate(texts)])  # fmt: skip
        columns = " OR ".join(f'{column} : "{token}"' for column in ("words", "bigrams") for token in sorted(asked))
        points = dict(connection.execute("SELECT rowid, rank FROM f WHERE f MATCH ?", (columns,)))
    assert set(points) == {int(chunk) for chunk in ours}
    given_points = [points[int(chunk)] for chunk in ours]
    assert given_points == pytest.approx(sorted(given_points))


def test_a_word_that_none_holds_weighs_most_and_none_weighs_nothing():
    weights = [rarity(held, 100) for held in (0, 1, 50, 99, 100)]
    assert weights == sorted(weights, reverse=True)
    assert min(weights) > 0
    assert 0 < ranking_weight(80, 100) < 0.001 < ranking_weight(20, 100)


def test_the_rarest_tokens_look_and_two_that_are_held_at_least():
    asked = Tokens(("x", "common", "rare"), ("no", "common"))
    holding = {"x": 50, "common": 900, "rare": 3, "no": 0}
    assert rarest(asked, holding, 100) == Tokens(("x", "rare"), ("no",))
    assert rarest(asked, holding, 1) == Tokens(("x", "rare"), ("no",))
    assert rarest(asked, {"common": 900, "x": 800}, 1) == Tokens(("x", "common"), ("common",))


def test_coverage_counts_words_that_were_cut_differently():
    found = Found("1", "人民 大学", "人民 民大 大学")
    assert coverage(found, {"民大": 1.0, "大学": 1.0, "附属": 2.0}) == pytest.approx(0.5)
    assert coverage(found, {"大": 1.0, "zebra": 3.0}) == pytest.approx(0.25)
