"""The few sentences the engine says itself, in the question's language; read from `words.yaml` when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from services.worker.engines.extractive.language.terms import is_chinese

_FILE = Path(__file__).with_name("words.yaml")


@dataclass(frozen=True, slots=True)
class Words:
    """The sentences of one language."""

    no_answer: str
    no_context: str


@dataclass(frozen=True, slots=True)
class Wording:
    """The sentences of all languages."""

    zh: Words
    en: Words

    @staticmethod
    def load() -> Wording:
        """Read the catalogue that lies beside this module."""
        return TypeAdapter(Wording).validate_python(yaml.safe_load(_FILE.read_text(encoding="utf-8")))

    def for_question(self, question: str) -> Words:
        """The sentences in the language of `question`."""
        return self.zh if is_chinese(question) else self.en

    def no_context(self, question: str, model: str) -> str:
        """What the engine is and what it needs, for a chat that gives it nothing to answer from."""
        sentence = self.for_question(question).no_context
        if is_chinese(question):
            sentence = sentence.replace("。 ", "。").replace("， ", "，")
        return sentence.format(model=model)
