"""Makes results without running anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.evaluation.metrics.summary import summarise
from services.evaluation.questions import SetQuestion
from services.evaluation.records import Configuration, Record, RunResult

CONFIGURATION = Configuration(
    api="http://api", base="b", embedding_model="e", questions="q.jsonl", set_sha256="0", mode="both", top_k=30,
    answer_top_k=None, model=None, concurrency=1, refusal_rule="either", refusal_sentences=(), grade="string",
    grade_model=None, grade_threshold=None,
)  # fmt: skip


def asked(number: int = 0, **changed: object) -> SetQuestion:
    values = {
        "ident": f"q{number}", "text": f"question {number}", "answers": (("five days",),), "gold": ("a.txt",),
        "gold_groups": (), "history": (), "is_answerable": True,
    }  # fmt: skip
    return SetQuestion(**{**values, **changed})  # type: ignore[arg-type]


def result(metrics: Sequence[Mapping[str, float]], label: str = "run") -> RunResult:
    records = tuple(Record(asked(number), metrics=measured) for number, measured in enumerate(metrics))
    return RunResult(label, "2026-11-29T00:00:00+00:00", 1.0, CONFIGURATION, summarise(records, ["a.txt"]), records)
