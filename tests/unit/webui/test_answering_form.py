"""What is chosen for a base's answers becomes what the base says."""

from __future__ import annotations

from services.wire.chatchat import BaseAnswering
from webui.answering_form import choices_of, said_by


def test_what_is_left_empty_is_not_said() -> None:
    assert said_by("", None, "", "") == BaseAnswering()


def test_what_is_chosen_is_said_in_its_field() -> None:
    said = said_by("strict", 0.1 + 0.2, "refine", "brief")
    assert said == BaseAnswering(
        when_nothing_found="strict", sufficient_relevance=0.3, strategy="refine", preset="brief"
    )
    assert said_by("", 0.0, "", "").sufficient_relevance == 0.0  # everything suffices: not the same as unsaid


def test_what_a_base_says_is_offered_also_when_it_is_gone() -> None:
    assert choices_of(["auto", "stuff"], None) == ["", "auto", "stuff"]
    assert choices_of(["auto", "stuff"], "stuff") == ["", "auto", "stuff"]
    assert choices_of(["auto"], "gone") == ["", "auto", "gone"]
