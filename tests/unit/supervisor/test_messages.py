"""Both languages say the same things."""

from __future__ import annotations

import string

from services.supervisor.keeper import State
from services.supervisor.messages import catalogue, sentence


def fields(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_every_sentence_with_the_same_facts():
    chinese, english = catalogue("zh-CN"), catalogue("en")
    assert chinese.keys() == english.keys()
    assert {key: fields(text) for key, text in chinese.items()} == {key: fields(text) for key, text in english.items()}


def test_every_state_has_a_word():
    assert all(sentence(f"state.{state.value}").render("en") for state in State)
