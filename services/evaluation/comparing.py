"""Two runs of one question set: how each measure differs, question by question, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.evaluation.metrics.summary import LOWER_IS_BETTER, MEASURES, TIMES
from services.evaluation.questions import SetQuestion
from services.evaluation.records import RunResult
from services.foundation.errors import EvaluationRefused

_LEVEL = 0.95
_CELLS = 4_000_000
"""Most resampled values held at a time; 32 MB."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How often the questions are drawn again, and the seed of the drawing."""

    resamples: int = 10_000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """How a measure differs, second run minus first, over the questions that have it in both.

    Attributes:
        measure: its name.
        first: mean of the first run over these questions.
        second: mean of the second.
        low: lower end of the 95 % interval of the mean difference.
        high: its upper end.
        won: questions for which the second is better, lower times and false refusals being better.
        lost: questions for which it is worse.
        count: questions compared.
    """

    measure: str
    first: float
    second: float
    low: float
    high: float
    won: int
    lost: int
    count: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def interval(differences: Sequence[float], bootstrap: Bootstrap) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of paired differences, of which there must be one.

    Questions are drawn with replacement, as many as there are, and the mean is taken, again and again.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; for paired systems Koehn,
    Statistical significance tests for machine translation evaluation (2004).
    """
    values = np.asarray(differences, dtype=np.float64)
    random = np.random.default_rng(bootstrap.seed)
    rows = max(_CELLS // len(values), 1)
    means = [
        values[random.integers(len(values), size=(min(rows, bootstrap.resamples - done), len(values)))].mean(axis=1)
        for done in range(0, bootstrap.resamples, rows)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def compare(first: RunResult, second: RunResult, bootstrap: Bootstrap) -> list[Difference]:
    """Every measure that some question has in both runs.

    Raises:
        EvaluationRefused: they did not ask the same questions, or no question was measured in both.
    """
    _refuse_other_questions(first, second)
    before = {record.question.ident: record.metrics for record in first.records}
    after = {record.question.ident: record.metrics for record in second.records}
    found = [_difference(name, before, after, bootstrap) for name in (*MEASURES, *TIMES)]
    differences = [difference for difference in found if difference is not None]
    if not differences:
        raise EvaluationRefused(source=second.label, reason="no measure was taken in both runs")
    return differences


def _difference(
    name: str,
    before: Mapping[str, Mapping[str, float]],
    after: Mapping[str, Mapping[str, float]],
    bootstrap: Bootstrap,
) -> Difference | None:
    pairs = [
        (metrics[name], after[ident][name])
        for ident, metrics in before.items()
        if name in metrics and name in after[ident]
    ]
    if not pairs:
        return None
    gains = [second - first for first, second in pairs]
    sign = -1 if name in LOWER_IS_BETTER else 1
    low, high = interval(gains, bootstrap)
    return Difference(
        measure=name,
        first=sum(first for first, _ in pairs) / len(pairs),
        second=sum(second for _, second in pairs) / len(pairs),
        low=low,
        high=high,
        won=sum(sign * gain > 0 for gain in gains),
        lost=sum(sign * gain < 0 for gain in gains),
        count=len(pairs),
    )


def _refuse_other_questions(first: RunResult, second: RunResult) -> None:
    before, after = _by_ident(first), _by_ident(second)
    only_first, only_second = before.keys() - after.keys(), after.keys() - before.keys()
    changed = [ident for ident, question in before.items() if ident in after and after[ident] != question]
    if only_first or only_second or changed:
        reason = (
            f"the runs did not ask the same questions: {len(only_first)} only in {first.label}, "
            f"{len(only_second)} only in {second.label}, {len(changed)} with another text, answer, gold or history"
        )
        example = next(iter(sorted(only_first | only_second) or changed))
        raise EvaluationRefused(source=second.label, reason=f"{reason} (e.g. {example!r})")


def _by_ident(result: RunResult) -> dict[str, SetQuestion]:
    return {record.question.ident: record.question for record in result.records}
