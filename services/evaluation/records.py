"""What a run keeps: a record for each question, the figures and how they came about; written and read as one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from services.evaluation.questions import SetQuestion
from services.foundation.errors import EvaluationRefused
from services.foundation.paths import atomic_write

FORMAT = 1


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A passage that the search gave, by its file; its relevance is None where no reranker said it."""

    file: str
    chunk_id: str | None
    relevance: float | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A passage an answer was given, by the number it is cited with."""

    number: int
    file: str


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An answer as it came: its text, the stand-alone question it answers, and its sources."""

    text: str
    query: str
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """What could not be done for a question: `step` is search, answer or grade."""

    step: str
    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Record:
    """One question and what became of it.

    Attributes:
        question: as the set has it.
        found: the search's passages, best first; None where none was asked for or it failed.
        answer: None where none was asked for or it failed.
        metrics: measure → value; one that is not defined for this question is missing.
        failures: what could not be asked or graded.
        ungraded: why a grader came to no verdict, where it did not.
    """

    question: SetQuestion
    found: tuple[FoundPassage, ...] | None = None
    answer: GivenAnswer | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    failures: tuple[Failed, ...] = ()
    ungraded: str | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """What was measured, and how. `set_sha256` is of the question file; None for a number: the API's own."""

    api: str
    base: str
    embedding_model: str
    questions: str
    set_sha256: str
    mode: str
    top_k: int
    answer_top_k: int | None
    model: str | None
    concurrency: int
    refusal_rule: str
    refusal_sentences: tuple[str, ...]
    grade: str
    grade_model: str | None
    grade_threshold: float | None


@dataclass(frozen=True, slots=True)
class Figure:
    """The mean of a measure over the `count` questions it is defined for."""

    mean: float
    count: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a run.

    Attributes:
        figures: measure → mean.
        percentiles: time → {"p50": …, "p95": …} in milliseconds.
        questions: how many were asked.
        failed: how many of them could not be asked or graded.
        ungraded: how many verdicts could not be read.
        absent_gold: how many answerable questions name a gold file that the base does not hold.
    """

    figures: Mapping[str, Figure]
    percentiles: Mapping[str, Mapping[str, float]]
    questions: int
    failed: int
    ungraded: int
    absent_gold: int


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run, whole. `began_at` is UTC in ISO 8601."""

    label: str
    began_at: str
    seconds: float
    configuration: Configuration
    summary: Summary
    records: tuple[Record, ...]
    format: int = FORMAT


def write_result(result: RunResult, target: Path) -> None:
    """Write the file whole or not at all."""
    with atomic_write(target) as opened:
        opened.write(TypeAdapter(RunResult).dump_json(result, indent=1))


def read_result(path: Path) -> RunResult:
    """Read what `write_result` wrote.

    Raises:
        EvaluationRefused: the file cannot be read or is no result.
    """
    try:
        result = TypeAdapter(RunResult).validate_json(path.read_bytes())
    except OSError as failure:
        raise EvaluationRefused(source=str(path), reason=failure.strerror or type(failure).__name__) from failure
    except ValidationError as failure:
        first = failure.errors()[0]
        reason = f"it is not a result of a run ({'.'.join(map(str, first['loc']))}: {first['msg']})"
        raise EvaluationRefused(source=str(path), reason=reason) from failure
    if result.format != FORMAT:
        raise EvaluationRefused(source=str(path), reason=f"it has the format {result.format}, not {FORMAT}")
    return result
