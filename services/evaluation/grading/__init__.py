"""Graders of answers beside the comparison of strings: by the meaning of embeddings, or by a chat model as judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.evaluation.records import Record


class Grader(Protocol):
    """Judges answers against the gold answers.

    Attributes:
        name: string, embedding or judge.
        model: that judges; None where none does.
        threshold: from which on an answer is right; None where there is none.
    """

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str | None: ...

    @property
    def threshold(self) -> float | None: ...

    def grade(self, records: Sequence[Record]) -> list[Record]:
        """The records with a verdict among their measures, a reason why there is none, or a failure.

        Only answers to answerable questions that have gold answers are judged.
        """
        ...


class StringGrader:
    """Adds nothing: containment and token F1 are measured of every answer."""

    name = "string"
    model: str | None = None
    threshold: float | None = None

    def grade(self, records: Sequence[Record]) -> list[Record]:
        return list(records)


def is_gradable(record: Record) -> bool:
    """Whether there is an answer and something to judge it by."""
    return record.answer is not None and record.question.is_answerable and bool(record.question.answers)
