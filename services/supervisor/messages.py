"""Sentences for a person, in the languages of `messages.yaml`. Made anywhere in this room, rendered by `display.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

Fact = str | int | float


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence not yet put into a language."""

    key: str
    facts: Mapping[str, Fact]

    def render(self, language: str) -> str:
        """The sentence in `language` ("zh-CN" or "en")."""
        return catalogue(language)[self.key].format(**self.facts)


def sentence(key: str, **facts: Fact) -> Sentence:
    """Name a sentence of the catalogue and what it is about."""
    return Sentence(key, facts)


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Every sentence of one language, by key."""
    loaded = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    table: dict[str, str] = loaded[language.replace("-", "_")]
    return table
