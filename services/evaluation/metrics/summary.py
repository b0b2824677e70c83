"""Records → the figures of a run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence

from services.evaluation.records import Figure, Record, Summary

MEASURES = (
    *("hit@1", "hit@3", "hit@5", "hit@10", "mrr@10", "ndcg@10"),
    *("contains", "token_f1", "embedding_similarity", "embedding_correct", "judge_correct"),
    *("citation_precision", "citation_recall", "refusal", "false_refusal", "best_relevance"),
)
TIMES = ("search_ms", "first_text_ms", "answer_ms")
LOWER_IS_BETTER = frozenset({*TIMES, "false_refusal"})


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank); there must be one."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def summarise(records: Sequence[Record], files: Collection[str]) -> Summary:
    """The means, the percentiles of the times, and the counts.

    Args:
        records: of every question asked.
        files: names of the files that the base holds.
    """
    columns = {name: [one.metrics[name] for one in records if name in one.metrics] for name in (*MEASURES, *TIMES)}
    known = set(files)
    answerable = [one.question for one in records if one.question.is_answerable]
    return Summary(
        figures={
            name: Figure(statistics.fmean(values), len(values)) for name, values in columns.items() if values
        },
        percentiles=_percentiles(columns),
        questions=len(records),
        failed=sum(bool(one.failures) for one in records),
        ungraded=sum(one.ungraded is not None for one in records),
        absent_gold=sum(not known >= set(question.gold) for question in answerable),
    )  # fmt: skip


def _percentiles(columns: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    return {
        name: {"p50": percentile(columns[name], 0.5), "p95": percentile(columns[name], 0.95)}
        for name in TIMES
        if columns[name]
    }
