"""Orders the sentences and says how far the best one supports an answer. The weights are fitted, not guessed.

Logistic regressions over CMRC 2018 dev and a part of SQuAD v1.1 dev; `python -m tests.bench.extractive --fit` gives
them again. XQuAD (Chinese) and SQuADShifts were kept aside to check them. The cosine weights were fitted on SQuAD
alone, with all-MiniLM-L6-v2, which reads no Chinese. The rank prior is a choice: it only breaks near ties.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.worker.engines.extractive.features import Candidate, Features
from services.worker.engines.extractive.similarity import Embed, cosines

EMBEDDED_SENTENCES = 8


class Support(NamedTuple):
    """What the support of the best sentence is computed from."""

    singles: float
    pairs: float
    near: float
    source: float
    missed: float
    bias: float


_ORDER = Features(2.07, 0.98, 4.04, 0.21, -2.5, 0.18, -1.1, 0.37, 5.23)
_RANK_PRIOR = -0.1
_SUPPORT = Support(12.37, 3.71, 3.7, 1.35, -0.96, -4.34)
_COSINE_ORDER = (0.62, 0.44, 4.84)
_COSINE_SUPPORT = (Support(6.88, 2.66, 2.8, -3.89, -0.58, -5.72), 8.91)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its log-odds of answering and, for the best ones, its similarity to the question."""

    candidate: Candidate
    log_odds: float
    cosine: float | None = None


def by_words(found: Sequence[Candidate]) -> list[Ranked]:
    """Best first, by words alone; the retriever's order decides between equals."""
    ranked = [Ranked(one, _dot(_ORDER, one.features) + _RANK_PRIOR * one.passage) for one in found]
    return sorted(ranked, key=lambda one: -one.log_odds)


async def with_meaning(ranked: Sequence[Ranked], question: str, embed: Embed) -> list[Ranked]:
    """The best ones ordered anew with embedding similarity; unchanged where none is to be had."""
    best = list(ranked[:EMBEDDED_SENTENCES])
    similar = await cosines(embed, question, [one.candidate.sentence.text for one in best]) if best else None
    if similar is None or len(similar) != len(best):
        return list(ranked)
    top = max(similar)
    words, own, lead = _COSINE_ORDER
    again = [
        Ranked(one.candidate, words * one.log_odds + own * cosine + lead * (cosine - top), cosine)
        for one, cosine in zip(best, similar, strict=True)
    ]
    return sorted(again, key=lambda one: -one.log_odds)


def support(best: Ranked) -> float:
    """The probability, in [0, 1], that the context answers the question, judged by its best sentence."""
    features = best.candidate.features
    measured = Support(features.singles, features.pairs, features.near, features.source, features.missed, 1.0)
    if best.cosine is None:
        return _sigmoid(_dot(_SUPPORT, measured))
    weights, own = _COSINE_SUPPORT
    return _sigmoid(_dot(weights, measured) + own * best.cosine)


def _dot(weights: Sequence[float], measured: Sequence[float]) -> float:
    return sum(weight * value for weight, value in zip(weights, measured, strict=True))


def _sigmoid(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-log_odds)) if log_odds > -700 else 0.0
