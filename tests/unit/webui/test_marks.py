"""Marks after sentences: at their place, harming neither the text's formatting nor its harmlessness."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.webui.test_markdown import ATTACKS, STREAMLIT, live_parts
from webui.markdown import inert
from webui.marks import Mark

SENTENCE = re.compile(r"[^。.\n]+(?:[。.](?:\[\d\])*|(?=\n)|$)")


def marks(answer: str) -> list[Mark]:
    """One for each sentence, numbered."""
    found = [match for match in SENTENCE.finditer(answer) if match[0].strip()]
    return [Mark(match.start(), match.end(), f"\u00a0‹{number}›") for number, match in enumerate(found)]


def unmarked(text: str) -> str:
    return re.sub("\u00a0‹\\d+›", "", text)


@pytest.mark.parametrize(
    ("answer", "written"),
    [
        ("甲。[1]乙。", "甲。\\[1\\] ‹0›乙。 ‹1›"),
        ("甲。\r\n\r\n乙。\r丙。", "甲。 ‹0›\n\n乙。 ‹1›\\\n丙。 ‹2›"),
        ("1. 甲。\n2. 乙\n   - 丙", "1. 甲。 ‹1›\n2. 乙 ‹3›\n   - 丙 ‹4›"),
        ("> 甲。\n> 乙。", "> 甲。 ‹0›\\\n> 乙。 ‹1›"),
        ("**甲。** 乙", "**甲。** ‹0› 乙 ‹1›"),
        ("**甲。乙。** 丙", "**甲。乙。** ‹0› ‹1› 丙 ‹2›"),
        ("a `x.y.` b", "a `x.y.` ‹0› ‹1› b ‹2›"),
        ("[甲。乙](http://e.example/)。", "甲。乙 (`http://e.example/`) ‹0› ‹1›。 ‹2›"),
        ("| a | b |\n|---|---|\n| 甲 | 乙。丙 |", "| a | b |\n| --- | --- |\n| 甲 | 乙。 ‹2›丙 ‹3› |"),
        ("# 甲。\n\n乙&amp;丙。", "#### 甲。\n\n乙\\&丙。 ‹1›"),
        ("```python\nx = a.b\n```\n\n甲。", "```python\nx = a.b\n```\n\n甲。 ‹4›"),
        ("    x.y\n\n甲。", "```text\nx.y\n```\n\n甲。 ‹2›"),
    ],
)
def test_a_mark_stands_behind_its_sentence(answer: str, written: str) -> None:
    assert inert(answer, marks(answer)).replace("\u00a0", " ") == written


def test_marks_of_other_places_are_left_out() -> None:
    beyond = [Mark(90, 99, "x"), Mark(-5, 0, "x"), Mark(1, 1, "x")]
    assert inert("甲。", beyond) == "甲。"
    assert inert("", [Mark(0, 1, "x")]) == ""


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_stays_harmless_wherever_a_mark_falls(attack: str) -> None:
    for end in range(1, len(attack) + 1):
        written = inert(attack, [Mark(0, end, "\u00a0:red[○]")])
        assert live_parts(written) == []


MARKDOWN = st.text(alphabet="ab。.*_`[]()|-#>1 \n~&;\r", max_size=60)


@given(MARKDOWN)
def test_without_its_marks_the_text_is_what_it_was(answer: str) -> None:
    assert unmarked(inert(answer, marks(answer))) == inert(answer)


@given(MARKDOWN)
def test_a_mark_changes_no_formatting(answer: str) -> None:
    written = inert(answer, marks(answer))
    assert unmarked(STREAMLIT.render(written)) == STREAMLIT.render(inert(answer))
