"""How well an answer says what was asked: containment and token F1, for English by words and Chinese by characters."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

_MARK = re.compile(r"[\[【［]\s*\d{1,3}(?:\s*[,，、]\s*\d{1,3})*\s*[\]】］]")
_TOKEN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W\u3400-\u9fff\uf900-\ufaff]+(?:\.[0-9]+)*")
_DECIMAL = re.compile(r"(?<=[0-9])\.(?=[0-9])")
_ARTICLES = frozenset({"a", "an", "the"})
_DOT = "\ue000"
"""Stands for a decimal point while punctuation is dropped."""


def tokens(text: str) -> list[str]:
    """Lower-case words and single ideographs, without punctuation, articles and citation marks.

    Source: normalize_answer of SQuAD's evaluate-v1.1.py (Rajpurkar et al. 2016); ideographs one by one as in CMRC
    2018's script (Cui et al. 2019). Apart from it: compatibility forms are folded (NFKC), all punctuation of Unicode
    counts, and the point of a decimal number stays, since 13.6 is not 136.
    """
    folded = _DECIMAL.sub(_DOT, unicodedata.normalize("NFKC", _MARK.sub(" ", text)).lower())
    bare = "".join(char for char in folded if unicodedata.category(char)[0] not in "PS").replace(_DOT, ".")
    return [token for token in _TOKEN.findall(bare) if token not in _ARTICLES]


def contains(answer: str, alternatives: Sequence[Sequence[str]]) -> float:
    """Whether the answer holds all parts of one alternative, token by token: 1 or 0. "136" is not in "11362"."""
    return float(any(all(_holds(answer, part) for part in parts) for parts in alternatives))


def token_f1(answer: str, alternatives: Sequence[Sequence[str]]) -> float:
    """The best F1 of the answer's tokens with those of one alternative, its parts joined.

    Source: f1_score and metric_max_over_ground_truths of SQuAD's evaluate-v1.1.py; two texts without tokens are equal,
    as in SQuAD 2.0's.
    """
    return max((_f1(tokens(answer), tokens(" ".join(parts))) for parts in alternatives), default=0.0)


def _holds(answer: str, part: str) -> bool:
    wanted, given = tokens(part), tokens(answer)
    if not wanted:  # "A+": an article once its sign is gone
        return part.strip().casefold() in answer.casefold()
    return any(given[start : start + len(wanted)] == wanted for start in range(len(given) - len(wanted) + 1))


def _f1(given: Sequence[str], wanted: Sequence[str]) -> float:
    if not given or not wanted:
        return float(list(given) == list(wanted))
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted))
