"""Which sentences of an answer its passages support, by their words: computed here, without a second model call."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.api.chat.contexts import CITED
from services.api.domain.knowledge import Citation, indexed_text
from services.api.knowledge.text_index.tokens import bigrams_of

_MARKS = rf"(?:\s*{CITED.pattern})*"
_SENTENCE = re.compile(rf"[^。！？!?；;\n]+?(?:[。！？!?；;]+{_MARKS}|\.(?=\s|$){_MARKS}|(?=\n)|$)", re.DOTALL)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SUPPORTED = 0.75
_PARTLY = 0.4


class Support(enum.StrEnum):
    """How far passages say what a sentence says."""

    SUPPORTED = "supported"
    PARTLY = "partly"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class SupportedSentence:
    """A sentence of an answer.

    Attributes:
        text: without white space around it.
        start: its first character's place in the answer, from 0.
        cited: the numbers of the passages it cites; where it cites none, all that the answer may cite are read.
        share: of its tokens (pairs of ideographs, Latin words, codes), those that stand in these passages, in [0, 1].
    """

    text: str
    start: int
    cited: tuple[int, ...]
    share: float
    support: Support


def support(answer: str, citations: Sequence[Citation]) -> list[SupportedSentence]:
    """The sentences of an answer in their order; those without a word (a rule, a number of a list) are left out.

    Supported: at least three quarters of the tokens stand in the passages, and every number; partly: at least two
    fifths. A number that no passage holds is an error that few words would show, so it never counts as supported.
    """
    passages = {
        citation.number: set(bigrams_of(f"{citation.file_name.stem}\n{indexed_text(citation.read, citation.place)}"))
        for citation in citations
    }
    found = []
    for match in _SENTENCE.finditer(answer):
        text = match[0].strip()
        words = CITED.sub(" ", text)
        tokens = set(bigrams_of(words))
        if not any(not token.isdigit() for token in tokens):
            continue
        marks = " ".join(mark[1] for mark in CITED.finditer(text))
        cited = tuple(dict.fromkeys(int(number) for number in re.findall(r"\d+", marks)))
        held = set().union(*(passages.get(number, set()) for number in cited or passages))
        share = len(tokens & held) / len(tokens)
        numbers = {token for number in _NUMBER.findall(words) for token in bigrams_of(number)}
        start = match.start() + len(match[0]) - len(match[0].lstrip())
        found.append(SupportedSentence(text, start, cited, share, _support(share, knows_numbers=numbers <= held)))
    return found


def _support(share: float, *, knows_numbers: bool) -> Support:
    if share >= _SUPPORTED and knows_numbers:
        return Support.SUPPORTED
    return Support.PARTLY if share >= _PARTLY else Support.UNSUPPORTED
