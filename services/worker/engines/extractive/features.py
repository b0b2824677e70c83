"""Measures every sentence of the context against the question; `ranking` weighs what is measured here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from services.worker.engines.extractive.language.question import Asked, asked_by, holds
from services.worker.engines.extractive.language.sentences import Sentence, Shape, split
from services.worker.engines.extractive.language.terms import NO_TERMS, Terms, question_terms, terms_of
from services.worker.engines.extractive.prompt import Passage

_REPEATING_SHARE = 0.6


class Features(NamedTuple):
    """One sentence against the question; each lies in [0, 1].

    Attributes:
        singles: share of the question's terms it holds, rare terms weighing more.
        pairs: the same for pairs of neighbouring terms.
        near: what its heading, its passage's source line and the sentence before it add to `singles`.
        whole: the share the whole passage holds.
        source: the share the source line holds.
        held: it holds something of the kind asked for (a date, a number, …).
        missed: a kind is asked for and it holds none.
        first: it opens its passage.
        lead: `singles` relative to the best sentence of the context.
    """

    singles: float
    pairs: float
    near: float
    whole: float
    source: float
    held: float
    missed: float
    first: float
    lead: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that may answer.

    Attributes:
        sentence: the sentence.
        passage: its passage's place in the prompt.
        place: its place in the passage.
        terms: what it is compared by.
        features: how it stands to the question.
        announces: it says nothing itself, it introduces what follows.
    """

    sentence: Sentence
    passage: int
    place: int
    terms: Terms
    features: Features
    announces: bool = False


def candidates(question: str, passages: Sequence[Passage]) -> list[Candidate]:
    """Every sentence of the passages, measured, in reading order; headings and questions only where there is
    nothing else, a question's words counting for the sentence after it.
    """
    parted = [_Parted.of(passage) for passage in passages]
    asking = _Asking(question, asked_by(question), question_terms(question), _Rarity.over(parted))
    found = [candidate for index, part in enumerate(parted) for candidate in _measured(asking, index, part)]
    answering = [candidate for candidate in found if not candidate.announces] or found
    best = max((candidate.features.singles for candidate in answering), default=0.0)
    return [_with_lead(candidate, best) for candidate in answering]


@dataclass(frozen=True, slots=True)
class _Parted:
    """A passage cut into sentences, with their terms."""

    source: Terms
    sentences: list[Sentence]
    terms: list[Terms]

    @staticmethod
    def of(passage: Passage) -> _Parted:
        sentences = split(passage.text)
        return _Parted(terms_of(passage.source), sentences, [terms_of(sentence.text) for sentence in sentences])


@dataclass(frozen=True, slots=True)
class _Rarity:
    """Inverse sentence frequency of the context's terms."""

    singles: Mapping[str, float]
    pairs: Mapping[str, float]
    unseen: float

    @staticmethod
    def over(parted: Sequence[_Parted]) -> _Rarity:
        every = [terms for part in parted for terms in part.terms]
        count = len(every) + 1

        def weigh(counted: Counter[str]) -> dict[str, float]:
            return {term: math.log(count / (seen + 0.5)) + 0.1 for term, seen in counted.items()}

        singles = Counter(term for terms in every for term in terms.singles)
        pairs = Counter(term for terms in every for term in terms.pairs)
        return _Rarity(weigh(singles), weigh(pairs), math.log(count / 0.5) + 0.1)


@dataclass(frozen=True, slots=True)
class _Asking:
    """The question's side of the comparison."""

    text: str
    asked: Asked
    wanted: Terms
    rarity: _Rarity

    def singles(self, held: Terms) -> float:
        return self._share(self.wanted.singles, held.singles, self.rarity.singles)

    def pairs(self, held: Terms) -> float:
        return self._share(self.wanted.pairs, held.pairs, self.rarity.pairs)

    def _share(self, wanted: Iterable[str], held: frozenset[str], rarity: Mapping[str, float]) -> float:
        total = met = 0.0
        for term in wanted:
            weight = rarity.get(term, self.rarity.unseen)
            total += weight
            met += weight if term in held else 0.0
        return met / total if total else 0.0


def _measured(asking: _Asking, index: int, part: _Parted) -> list[Candidate]:
    whole = asking.singles(Terms(part.source.singles.union(*(terms.singles for terms in part.terms)), frozenset()))
    source = asking.singles(part.source)
    heading = before = carried = NO_TERMS
    found: list[Candidate] = []
    for place, (sentence, terms) in enumerate(zip(part.sentences, part.terms, strict=True)):
        own = terms | carried
        singles = asking.singles(own)
        kind = holds(asking.asked, sentence.text, asking.text)
        measured = Features(
            singles=singles,
            pairs=asking.pairs(own),
            near=asking.singles(own | part.source | heading | before) - singles,
            whole=whole,
            source=source,
            held=float(kind is True),
            missed=float(kind is False),
            first=float(place == 0),
            lead=0.0,
        )
        announces = _announces(asking, sentence, terms, missed=kind is False)
        found.append(Candidate(sentence, index, place, terms, measured, announces))
        heading = terms if sentence.shape is Shape.HEADING else heading
        before, carried = terms, terms if _asks(sentence) else NO_TERMS
    return found


def _asks(sentence: Sentence) -> bool:
    return sentence.text.endswith(("?", "？"))


def _announces(asking: _Asking, sentence: Sentence, terms: Terms, *, missed: bool) -> bool:
    """Whether it only introduces what follows: a heading, a question, or a bare line of the question's own words."""
    if sentence.shape is Shape.HEADING or _asks(sentence):
        return True
    if asking.asked is Asked.YES_NO or not sentence.is_open:
        return False
    repeated = len(terms.singles & asking.wanted.singles)
    return repeated == len(terms.singles) or (missed and repeated > _REPEATING_SHARE * len(terms.singles))


def _with_lead(candidate: Candidate, best: float) -> Candidate:
    lead = candidate.features.singles / best if best else 0.0
    return replace(candidate, features=candidate.features._replace(lead=lead))
