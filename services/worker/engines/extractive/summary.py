"""Summaries by quoting: the sentences that say most of what a text says again and again. Used by the engine.

SumBasic (Nenkova and Vanderwende 2005): a sentence is worth the mean frequency of its terms in the text, and the terms
of a sentence that was chosen count less from then on. Terms that stand in one sentence only say nothing of the whole.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from services.wire.openai import ChatMessage
from services.worker.engines.extractive.language.cleaning import cleaned
from services.worker.engines.extractive.language.sentences import Sentence, Shape, split
from services.worker.engines.extractive.language.terms import HAN, is_chinese, terms_of
from services.worker.engines.extractive.prompt import has_context

_SOURCE = re.compile(r"<(原文|source_text)>(.*)</\1>", re.DOTALL)
_IDEOGRAPH = re.compile(f"[{HAN}]")
_FEWEST_TERMS = 4
_MOST_CHARS = 300
_FIRST_BONUS = 1.2
_TOLD_SHARE = 0.25
"""What a term still counts when a sentence with it was chosen."""


def source_text(messages: Sequence[ChatMessage]) -> str | None:
    """The text that the last user message asks to be summarised; None when it asks for something else."""
    texts = [message.text for message in messages if message.role == "user"]
    found = _SOURCE.search(texts[-1]) if texts and not has_context(texts[-1]) else None
    return None if found is None else found.group(2)


def summarised(text: str, most: int) -> str:
    """At most so many sentences of a text, in their order and as they stand there; empty where it has none."""
    sentences = _candidates(text)
    chosen = _chosen(sentences, most)
    quotes = [sentences[place] for place in sorted(chosen)]
    written = ""
    for one in quotes:
        written += _separator(written, one) + one.text
    return written


def _candidates(text: str) -> list[Sentence]:
    """Each sentence once, without headings where there is anything else."""
    known = {sentence.text: sentence for sentence in split(cleaned(text))}
    found = [one for one in known.values() if one.shape is not Shape.HEADING] or list(known.values())
    return [one for one in found if len(one.text) <= _MOST_CHARS] or found


def _chosen(sentences: Sequence[Sentence], most: int) -> list[int]:
    held = [_terms(one.text) for one in sentences]
    counted = Counter(term for one in held for term in one)
    weights = {term: float(count - 1) for term, count in counted.items()}
    chosen: list[int] = []
    left = list(range(len(sentences)))
    while left and len(chosen) < most:
        best = max(left, key=lambda place: _worth(place, held[place], weights))
        if chosen and _worth(best, held[best], weights) == 0 and any(weights.values()):
            break
        chosen.append(best)
        left.remove(best)
        for term in held[best]:
            weights[term] *= _TOLD_SHARE
    return chosen


def _terms(text: str) -> frozenset[str]:
    """Words, and pairs of ideographs: a single ideograph means too many things."""
    found = terms_of(text)
    return frozenset(term for term in found.singles if not _IDEOGRAPH.match(term)) | found.pairs


def _worth(place: int, held: frozenset[str], weights: dict[str, float]) -> float:
    """The mean weight of its terms; short ones count as if they were longer, the first a little more."""
    mean = sum(weights[term] for term in held) / max(len(held), _FEWEST_TERMS)
    fullness = math.log2(1 + min(len(held), 4 * _FEWEST_TERMS))
    return mean * fullness * (_FIRST_BONUS if place == 0 else 1.0)


def _separator(written: str, one: Sentence) -> str:
    if not written:
        return ""
    if one.shape is not Shape.PROSE or "\n" in written:
        return "\n"
    return "" if is_chinese(one.text) else " "
