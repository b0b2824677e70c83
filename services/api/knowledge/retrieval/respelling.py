"""Words of a question that no chunk holds, put right as the nearest words that some chunk holds. Used by `hybrid`."""

from __future__ import annotations

import re
from collections.abc import Set

from rapidfuzz import process
from rapidfuzz.distance import OSA

from services.api.knowledge.text_index.tokens import bigrams_of, folded

_WORD = re.compile(r"[a-z0-9](?:[a-z0-9._+#/-]*[a-z0-9+#])?")
_LEAST_CHARS = 4
_CHARS_PER_EDIT = 4
_MOST_EDITS = 2


def respelt(text: str, terms: Set[str]) -> str:
    """The question, folded, with its misspelt words put right; as it was where there are none.

    A word of four to seven letters may differ by one edit (a letter too many, too few, another, or two swapped), a
    longer one by two. Only Latin words and codes are looked at: Chinese is found by its pairs of characters anyhow.

    Args:
        text: the question.
        terms: every Latin word and code that a chunk holds, as the keyword index keeps them.
    """
    right = {word: _nearest(word, terms) for word in dict.fromkeys(_WORD.findall(folded(text)))}
    if not any(right.values()):
        return text
    return _WORD.sub(lambda found: right[found[0]] or found[0], folded(text))


def _nearest(word: str, terms: Set[str]) -> str | None:
    """What a word was meant to be; None when it is right, too short, or like nothing."""
    if len(word) < _LEAST_CHARS or any(token in terms for token in bigrams_of(word)[:1]):
        return None
    edits = min(_MOST_EDITS, len(word) // _CHARS_PER_EDIT)
    near = (term for term in terms if abs(len(term) - len(word)) <= edits)
    found = process.extractOne(word, near, scorer=OSA.distance, score_cutoff=edits)
    return None if found is None else str(found[0])
