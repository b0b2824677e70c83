"""How long texts are for a model, estimated, and which passages fit together. Used by every strategy."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
_LETTERS = re.compile(r"[A-Za-z\s]")
_TOKENS_PER_LETTER = 0.3
_SEPARATOR_TOKENS = 2
"""What stands between two passages."""
MESSAGE_TOKENS = 8
"""What a chat template puts around a message; Qwen's and Llama's take five to seven."""


def estimate_tokens(text: str) -> int:
    """At least about as many tokens as a model's own tokenizer makes of a text: those are not known here.

    A Latin letter or a space counts 0.3, anything else 1. Source: DeepSeek's page "Token & Token Usage" (an English
    character is about 0.3 tokens, a Chinese one 0.6, a number or a symbol 1); an ideograph is counted whole, because
    older and smaller vocabularies need one token or more for it.
    """
    letters = len(_LETTERS.findall(text))
    return math.ceil(letters * _TOKENS_PER_LETTER) + len(text) - letters


def text_tokens(text: str) -> int:
    """A text among others, with what separates it from the next."""
    return estimate_tokens(text) + _SEPARATOR_TOKENS


def pack(items: Sequence[T], tokens: Callable[[T], int], budget: int) -> list[tuple[T, ...]]:
    """Neighbours in groups: order kept, nothing lost, none above `budget` but an item that alone is."""
    groups: list[list[T]] = []
    left = 0
    for item in items:
        needed = tokens(item)
        if not groups or needed > left:
            groups.append([])
            left = budget
        groups[-1].append(item)
        left -= needed
    return [tuple(group) for group in groups]


def fitting(items: Sequence[T], tokens: Callable[[T], int], budget: int) -> tuple[T, ...]:
    """The longest beginning that fits, the first item in any case."""
    packed = pack(items, tokens, budget)
    return packed[0] if packed else ()
