"""The language of a question."""

from __future__ import annotations

import pytest

from services.api.chat.language import language_of, language_of_text
from services.api.domain.answering import Manner, Question


@pytest.mark.parametrize(
    ("text", "language"), [("年假", "zh-CN"), ("leave", "en"), ("什么是 API", "zh-CN"), ("?1", None)]
)
def test_the_language_of_a_text_is_that_of_most_of_its_words(text: str, language: str | None):
    assert language_of_text(text) == language


@pytest.mark.parametrize(
    ("text", "query", "language"),
    [
        ("How long?", None, "en"),
        ("2024?", "2024 年的年假？", "zh-CN"),
        ("2024?", None, "en"),
        ("2024?", "2024? 2025?", "en"),
    ],
)
def test_a_question_without_words_has_its_manners(text: str, query: str | None, language: str):
    assert language_of(Question(text, "m", manner=Manner(language="en")), query) == language
