"""Tokens → the lexemes of a tsvector, which say how often a chunk holds a token: at least 1, 2, 4 or 8 times.

A GIN index keeps no counts. So a token that a chunk holds twice stands there a second time, as another lexeme.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from services.api.knowledge.text_index.tokens import Tokens
from services.api.knowledge.text_index.weighing import RankingWeights, is_beginning

SEPARATOR = "\x1f"
WORD, BIGRAM = "w", "b"
_LEVELS = (1, 2, 4, 8)
_LONGEST_CHARS = 64  # a lexeme has a limit of 2046 bytes


def lexemes_of(tokens: Tokens) -> str:
    """All lexemes of a chunk, between separators."""
    held = Counter(_named(WORD, word) for word in tokens.words)
    held.update(_named(BIGRAM, bigram) for bigram in tokens.bigrams)
    return SEPARATOR.join(f"{level}{name}" for name, times in held.items() for level in _LEVELS if level <= times)


def counting_term(kind: str, token: str) -> str:
    """The tsquery that the chunks match which hold a token."""
    return _term(1, kind, token)


class Seeking(NamedTuple):
    """A tsquery: what it matches holds a token of this weight `times` or more, no longer only `before`."""

    term: str
    weight: float
    before: int
    times: int


def seeking_terms(weights: RankingWeights) -> Iterator[Seeking]:
    """What finds the chunks that hold any of the tokens, and tells about how often."""
    for kind, tokens in ((WORD, weights.words), (BIGRAM, weights.bigrams)):
        for token, weight in tokens.items():
            for before, level in pairwise((0, *_LEVELS)):
                yield Seeking(_term(level, kind, token), weight, before, level)


def _named(kind: str, token: str) -> str:
    return kind + token[:_LONGEST_CHARS]


def _term(level: int, kind: str, token: str) -> str:
    quoted = f"{level}{_named(kind, token)}".replace("\\", "\\\\").replace("'", "''")
    return f"'{quoted}':*" if kind == BIGRAM and is_beginning(token) else f"'{quoted}'"
