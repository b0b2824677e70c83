"""Whether an answer cites the right files, and whether it is a refusal."""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

_MARK = re.compile(r"[\[【［]\s*(\d{1,3}(?:\s*[,，、]\s*\d{1,3})*)\s*[\]】］]")
REFUSALS = (
    "根据已知信息无法回答该问题",
    "已知信息中没有答案",
    "知识库中没有找到与问题相关的资料",
    "The given material does not answer this question",
    "文档中没有找到与这个问题有关的内容",
    "The documents hold nothing about this question",
)
"""How the built-in model and the prompts' wording refuse; `--refusal-sentence` gives others."""


class RefusalRule(enum.StrEnum):
    """What makes an answer a refusal."""

    SENTENCE = "sentence"
    NO_CITATION = "no-citation"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Refusing:
    """The rule and the sentences of a refusal, which count wherever they stand in the answer; case does not count."""

    rule: RefusalRule = RefusalRule.EITHER
    sentences: tuple[str, ...] = REFUSALS

    def is_refusal(self, answer: str) -> bool:
        """Whether an answer refuses."""
        said = any(sentence.casefold() in answer.casefold() for sentence in self.sentences)
        uncited = not cited_numbers(answer)
        match self.rule:
            case RefusalRule.SENTENCE:
                return said
            case RefusalRule.NO_CITATION:
                return uncited
            case RefusalRule.EITHER:
                return said or uncited


def cited_numbers(answer: str) -> list[int]:
    """The numbers an answer cites, each once: [1], [1, 2] or 【1】."""
    marks = [re.findall(r"\d+", found) for found in _MARK.findall(answer)]
    return list(dict.fromkeys(int(number) for mark in marks for number in mark))


def without_citations(answer: str) -> str:
    """The answer's text without its marks."""
    return _MARK.sub("", answer).strip()


def citation_precision(answer: str, sources: Mapping[int, str], gold: Collection[str]) -> float | None:
    """Share of the cited files that are gold, each once; a number without a source counts as a wrong file of its own.

    None for an answer that cites nothing. Source: after citation precision of ALCE (Gao et al. 2023), with gold files
    in the place of entailment.
    """
    cited = {sources.get(number, f"\0{number}") for number in cited_numbers(answer)}
    return len(cited & set(gold)) / len(cited) if cited else None


def citation_recall(answer: str, sources: Mapping[int, str], groups: Sequence[Collection[str]]) -> float:
    """Share of the groups of gold files of which one is cited; there must be a group.

    Source: after citation recall of ALCE (Gao et al. 2023), with gold files in the place of entailment.
    """
    cited = {sources[number] for number in cited_numbers(answer) if number in sources}
    return sum(bool(cited & set(group)) for group in groups) / len(groups)
