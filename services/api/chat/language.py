"""In which language a question is asked: its prompts and the sentences of its answer are in the same."""

from __future__ import annotations

import re

from services.api.domain.answering import Question

_IDEOGRAPH = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"[A-Za-z]+")


def language_of_text(text: str) -> str | None:
    """Whichever of "zh-CN" and "en" a text has more words of (an ideograph is one); None where it has none."""
    ideographs, words = len(_IDEOGRAPH.findall(text)), len(_WORD.findall(text))
    if ideographs == words == 0:
        return None
    return "zh-CN" if ideographs >= words else "en"


def language_of(question: Question, query: str | None = None) -> str:
    """The language of a question: of its words, or of what was made of them; where they have none, its manner's."""
    return language_of_text(question.text if query is None else query) or question.manner.language
