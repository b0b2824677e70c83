"""Chooses the sentences that answer, and writes the answer: quotes in reading order, each with its citation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.worker.engines.extractive.features import candidates
from services.worker.engines.extractive.language.question import Asked, asked_by
from services.worker.engines.extractive.language.sentences import Shape
from services.worker.engines.extractive.language.terms import is_chinese, question_terms
from services.worker.engines.extractive.language.trimming import trimmed
from services.worker.engines.extractive.prompt import Passage, Reading
from services.worker.engines.extractive.ranking import Ranked, by_words, support, with_meaning
from services.worker.engines.extractive.similarity import Embed

MIN_SUPPORT = 0.2
_SHORT_GAP = 0.3
_LONG_GAP = 1.0
_DUPLICATE_SHARE = 0.8
_SEVERAL = frozenset({Asked.LIST, Asked.REASON, Asked.MANNER, Asked.DEFINITION})


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is answered.

    Attributes:
        max_sentences: most sentences of an answer.
        min_support: probability that the context answers, below which it is said not to.
    """

    max_sentences: int = 3
    min_support: float = MIN_SUPPORT


@dataclass(frozen=True, slots=True)
class Found:
    """The sentences that answer, in reading order; none when the material holds no answer."""

    chosen: tuple[Ranked, ...]
    support: float


async def find(reading: Reading, limits: Limits, embed: Embed | None) -> Found:
    """Look for the answer. The words are compared in a thread, so that other requests go on."""
    ranked = _cited_first(await asyncio.to_thread(_ranked_by_words, reading))
    if embed is not None:
        ranked = await with_meaning(ranked, reading.searched, embed)
    likely = support(ranked[0]) if ranked and question_terms(reading.searched).singles else 0.0
    if likely < limits.min_support:
        return Found((), likely)
    chosen = _chosen(ranked, asked_by(reading.question), limits.max_sentences)
    return Found(tuple(sorted(chosen, key=lambda one: (one.candidate.passage, one.candidate.place))), likely)


def write(found: Found, reading: Reading) -> str:
    """The answer's text."""
    wanted = question_terms(reading.searched).singles
    written = ""
    for one in found.chosen:
        sentence = one.candidate.sentence
        quote = trimmed(sentence.text, wanted) + _citation(reading.passages[one.candidate.passage])
        written += _separator(written, quote, alone=sentence.shape is not Shape.PROSE) + quote
    return written


def _ranked_by_words(reading: Reading) -> list[Ranked]:
    return by_words(candidates(reading.searched, reading.passages))


def _cited_first(ranked: Sequence[Ranked]) -> list[Ranked]:
    """Each sentence once: as it ranks at its best, and from the first passage that holds it."""
    best: dict[str, Ranked] = {}
    for one in ranked:
        known = best.setdefault(one.candidate.sentence.text, one)
        if one.candidate.passage < known.candidate.passage:
            moved = replace(one.candidate, features=known.candidate.features)
            best[one.candidate.sentence.text] = replace(known, candidate=moved)
    return list(best.values())


def _chosen(ranked: Sequence[Ranked], asked: Asked, most: int) -> list[Ranked]:
    """The best one; more where they are nearly as good and say something else."""
    limit = min(most, 2 if asked.is_short or asked not in _SEVERAL else most)
    gap = _SHORT_GAP if asked.is_short else _LONG_GAP
    chosen = [ranked[0]]
    for one in ranked[1:]:
        if len(chosen) >= limit or ranked[0].log_odds - one.log_odds > gap:
            break
        if not any(_is_duplicate(one, other) for other in chosen):
            chosen.append(one)
    return chosen


def _is_duplicate(one: Ranked, other: Ranked) -> bool:
    mine, theirs = one.candidate.terms.singles, other.candidate.terms.singles
    shorter = min(len(mine), len(theirs))
    return shorter == 0 or len(mine & theirs) / shorter >= _DUPLICATE_SHARE


def _citation(passage: Passage) -> str:
    return "" if passage.number is None else f"[{passage.number}]"


def _separator(written: str, quote: str, *, alone: bool) -> str:
    if not written:
        return ""
    if alone or "\n" in written:
        return "\n"
    return "" if is_chinese(quote) else " "
