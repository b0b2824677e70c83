"""From which relevance on a passage answers, found from a run: `sufficient_relevance` of the settings or of a base."""

from __future__ import annotations

import math
from dataclasses import dataclass

from services.clients.chatchat import ChatchatClient
from services.evaluation.bases import details_of
from services.evaluation.records import RunResult
from services.foundation.errors import EvaluationRefused

MEASURE = "best_relevance"


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold and what it would have done to the questions of the run.

    Attributes:
        threshold: questions whose best passage is less relevant are refused; in [0, 1].
        false_refusals: share of the answerable questions that are refused.
        refusals: share of the unanswerable questions that are refused; None without such questions.
        answerable, unanswerable: how many there are.
    """

    threshold: float
    false_refusals: float
    refusals: float | None
    answerable: int
    unanswerable: int


def calibrate(result: RunResult, *, most_false_refusals: float) -> Calibration:
    """The highest threshold, in thousandths, that refuses no larger share of the answerable questions.

    Raises:
        EvaluationRefused: the run has no answerable question whose passages say their relevance.
    """
    known = [
        (record.question.is_answerable, record.metrics[MEASURE])
        for record in result.records
        if MEASURE in record.metrics
    ]
    answerable = sorted(relevance for is_answerable, relevance in known if is_answerable)
    others = [relevance for is_answerable, relevance in known if not is_answerable]
    if not answerable:
        reason = (
            "none of its answerable questions has passages with a relevance: run it with --mode search and a reranker"
        )
        raise EvaluationRefused(source=result.label, reason=reason)
    lowest_kept = answerable[min(math.floor(most_false_refusals * len(answerable)), len(answerable) - 1)]
    threshold = math.floor(1000 * lowest_kept) / 1000
    return Calibration(
        threshold=threshold,
        false_refusals=sum(relevance < threshold for relevance in answerable) / len(answerable),
        refusals=sum(relevance < threshold for relevance in others) / len(others) if others else None,
        answerable=len(answerable),
        unanswerable=len(others),
    )


def apply(client: ChatchatClient, base: str, found: Calibration) -> None:
    """Make a base strict with the threshold; what else it says of answers stays.

    Raises:
        KnowledgeBaseNotFound: there is no such base any more.
    """
    details = details_of(client, base)
    chosen = {"when_nothing_found": "strict", "sufficient_relevance": found.threshold}
    client.choose_answering(details.name, details.answering.model_copy(update=chosen))
