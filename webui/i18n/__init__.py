"""What a reader reads: one YAML file per language, key → sentence."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

LANGUAGES: Mapping[str, str] = {"zh-CN": "中文", "en": "English"}
"""Language tag → its own name; each has a file `<tag>.yaml` with `-` written as `_`."""


class Texts:
    """The sentences of one language. Called with a key and the facts its sentence names."""

    def __init__(self, language: str, sentences: Mapping[str, str]) -> None:
        self.language = language
        self._sentences = sentences

    def __contains__(self, key: str) -> bool:
        return key in self._sentences

    def __call__(self, key: str, **facts: str | float) -> str:
        return self._sentences[key].format(**facts)


@cache
def texts_in(language: str) -> Texts:
    """The sentences of a language of `LANGUAGES`."""
    path = Path(__file__).with_name(f"{language.replace('-', '_')}.yaml")
    sentences: dict[str, str] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Texts(language, sentences)
