"""What a question is searched beside."""

from __future__ import annotations

from services.api.chat.leaning import leaned_on
from services.api.domain.answering import Question
from services.api.domain.conversation import Message


def beside(text: str, *asked: str) -> list[str]:
    """The other wordings of a question after these, each answered."""
    history = [message for one in asked for message in (Message("user", one), Message("assistant", "答"))]
    return [one.text for one in leaned_on(Question(text, "m", history=tuple(history)), text)]


def test_without_history_there_is_nothing_to_lean_on():
    assert beside("院长是谁") == []


def test_the_first_question_and_the_latest_are_taken():
    assert beside("院长是谁", "文学院的前身是什么") == ["文学院的前身是什么 院长是谁"]
    found = beside("院长是谁", "一", "二", "三", "四", "五")
    assert found == ["一 院长是谁", "三 院长是谁", "四 院长是谁", "五 院长是谁"]


def test_a_question_asked_twice_or_worked_in_already_counts_once():
    assert beside("院长是谁", "一", "一") == ["一 院长是谁"]
    assert beside("文学院的前身是什么 它成立于哪一年", "文学院的前身是什么") == []
    assert beside("院长是谁", " ") == []


def test_answers_are_not_searched_for():
    assert not any("答" in text for text in beside("院长是谁", "一", "二"))
