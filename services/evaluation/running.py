"""Asks a whole set, several questions at a time, and keeps the result."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.clients.chatchat import ChatchatClient
from services.evaluation.asking import Asker, Asking
from services.evaluation.bases import details_of
from services.evaluation.grading import Grader
from services.evaluation.metrics.summary import summarise
from services.evaluation.questions import SetQuestion
from services.evaluation.records import Configuration, Record, RunResult, write_result
from services.foundation.errors import EvaluationRefused
from services.foundation.paths import join_inside

_LABEL = re.compile(r"\w[\w.-]{0,99}")
Advance = Callable[[], None]


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """The questions of a file, in order; `path` and `sha256` are the file's."""

    path: Path
    sha256: str
    questions: Sequence[SetQuestion]


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be run: `api` is the address of the API, `label` names the result."""

    api: str
    asking: Asking
    concurrency: int
    label: str


def label_of(raw: str) -> str:
    """Parse a label: letters of any language, digits, `_`, `-`, `.`; it becomes part of a file's name.

    Raises:
        EvaluationRefused: it is something else.
    """
    if not _LABEL.fullmatch(raw):
        raise EvaluationRefused(source=raw[:60], reason="a label is made of letters, digits, '_', '-' and '.'")
    return raw


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes.

    Raises:
        EvaluationRefused: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as failure:
        raise EvaluationRefused(source=str(path), reason=failure.strerror or type(failure).__name__) from failure


def execute(client: ChatchatClient, run: Run, asked: QuestionSet, grader: Grader, advance: Advance) -> RunResult:
    """Ask every question and sum up; `advance` is called after each.

    Raises:
        KnowledgeBaseNotFound: before any question, since a search in no base finds nothing and says nothing.
        ServiceUnreachable: before any question.
    """
    details = details_of(client, run.asking.base)
    files = [file.name for file in client.files(details.name) if file.state == "indexed"]
    began_at, began = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    records = grader.grade(_asked(Asker(client, run.asking), run.concurrency, asked.questions, advance))
    return RunResult(
        label=run.label,
        began_at=began_at,
        seconds=round(time.monotonic() - began, 3),
        configuration=_configuration(run, asked, grader, details.embedding_model),
        summary=summarise(records, files),
        records=tuple(records),
    )


def keep(result: RunResult, folder: Path) -> Path:
    """Write the result into the folder, which is made; returns the file, named after label and time."""
    stamp = re.sub(r"\D", "", result.began_at.partition("+")[0])
    name = f"{result.label}-{stamp}"
    for number in range(1, 1000):  # two runs may begin in one second
        target = join_inside(folder, f"{name}.json" if number == 1 else f"{name}-{number}.json")
        if not target.exists():
            break
    else:
        raise EvaluationRefused(source=str(folder), reason=f"it is full of results named {name}")
    try:
        write_result(result, target)
    except OSError as failure:
        raise EvaluationRefused(source=str(folder), reason=failure.strerror or type(failure).__name__) from failure
    return target


def _asked(asker: Asker, concurrency: int, questions: Sequence[SetQuestion], advance: Advance) -> list[Record]:
    def ask(question: SetQuestion) -> Record:
        record = asker.ask(question)
        advance()
        return record

    with ThreadPoolExecutor(concurrency) as pool:
        return list(pool.map(ask, questions))


def _configuration(run: Run, asked: QuestionSet, grader: Grader, embedding_model: str) -> Configuration:
    asking = run.asking
    return Configuration(
        api=run.api,
        base=asking.base,
        embedding_model=embedding_model,
        questions=str(asked.path),
        set_sha256=asked.sha256,
        mode="both" if asking.searches and asking.answers else "search" if asking.searches else "answer",
        top_k=asking.top_k,
        answer_top_k=asking.answer_top_k,
        model=asking.model,
        concurrency=run.concurrency,
        refusal_rule=asking.refusing.rule.value,
        refusal_sentences=asking.refusing.sentences,
        grade=grader.name,
        grade_model=grader.model,
        grade_threshold=grader.threshold,
    )
