"""Misspelt words put right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.knowledge.retrieval.respelling import respelt

TERMS = frozenset(
    {"database", "backup", "policy", "iso-9001", "ab-12/3", "cat", "deutsche", "bank", "kubernetes", "c++"}
)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("databse bakcup", "database backup"),
        ("Kuberentes 的备份", "kubernetes 的备份"),
        ("ＩＳＯ9001", "iso-9001"),
        ("iso-9002", "iso-9001"),
        ("Duetsche Bank?", "deutsche bank?"),
    ],
)
def test_a_word_that_no_chunk_holds_becomes_the_nearest_that_one_holds(asked: str, meant: str):
    assert respelt(asked, TERMS) == meant


@pytest.mark.parametrize("asked", ["Databases, backups", "cot", "员工年假有几天？", "wholly unknown", "", "c++ c"])
def test_what_is_right_short_or_like_nothing_stays_as_it_was(asked: str):
    assert respelt(asked, TERMS) == asked


def test_without_terms_nothing_changes():
    assert respelt("databse", frozenset()) == "databse"


@given(st.text(max_size=60))
def test_no_text_breaks_it(text: str):
    assert isinstance(respelt(text, TERMS), str)
