"""`python -m services.evaluation run | compare | generate | calibrate`: the door of the evaluation."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console
from rich.progress import Progress

from services.clients.chatchat import ChatchatClient
from services.evaluation.asking import Asking
from services.evaluation.calibrating import apply, calibrate
from services.evaluation.comparing import Bootstrap, compare
from services.evaluation.flags import parser
from services.evaluation.generating.facts import facts
from services.evaluation.generating.making import Wanted, make, write_questions
from services.evaluation.generating.model import ModelFacts
from services.evaluation.grading import Grader, StringGrader
from services.evaluation.grading.embedding import EmbeddingGrader, EmbeddingsAddress
from services.evaluation.grading.judge import JudgeGrader
from services.evaluation.metrics.citations import REFUSALS, RefusalRule, Refusing
from services.evaluation.questions import read_passages, read_questions
from services.evaluation.records import read_result
from services.evaluation.running import QuestionSet, Run, execute, keep, label_of, sha256_of
from services.evaluation.showing import show_calibration, show_differences, show_run
from services.foundation import logs
from services.foundation.errors import ChatchatError, EvaluationRefused
from services.foundation.settings.load import load_settings
from services.foundation.settings.tree import Settings


def main(arguments: Sequence[str]) -> int:
    """Do what the flags say; returns the exit code: 0 done, 1 some questions failed, 2 it could not begin."""
    given = parser().parse_args(arguments)
    console = Console(soft_wrap=True)
    try:
        match given.command:
            case "compare":
                return _compare(given, console)
            case "calibrate":
                return _calibrate(given, console)
            case "generate":
                return _generate(given, load_settings(), console)
            case _:
                return _run(given, load_settings(), console)
    except ChatchatError as failure:
        console.print(str(failure), style="red", markup=False)
        return 2


def _run(given: argparse.Namespace, settings: Settings, console: Console) -> int:
    asked = _questions(given)
    refusing = Refusing(RefusalRule(given.refusal_rule), tuple(given.refusal_sentence or REFUSALS))
    asking = Asking(
        base=given.base,
        searches=given.mode != "answer",
        answers=given.mode != "search",
        top_k=given.top_k,
        answer_top_k=given.answer_top_k,
        model=given.model,
        refusing=refusing,
    )
    run = Run(_api(given, settings), asking, given.concurrency, label_of(given.label))
    with _client(given, settings) as client, Progress(console=console, transient=True) as progress:
        bar = progress.add_task("asking", total=len(asked.questions))
        result = execute(client, run, asked, _grader(given, settings, client), lambda: progress.advance(bar))
    show_run(result, keep(result, given.out), console)
    return 1 if result.summary.failed else 0


def _generate(given: argparse.Namespace, settings: Settings, console: Console) -> int:
    wanted = Wanted(given.base, given.count, given.seed)
    with _client(given, settings) as client:
        asked = None if given.model is None else ModelFacts(client, given.model)
        made = make(client, wanted, asked or facts)
    write_questions(made, given.out)
    console.print(f"{len(made)} questions in {given.out}", markup=False)
    if asked is not None and asked.unread + asked.unfounded:
        console.print(f"dropped: {asked.unread} unreadable answers, {asked.unfounded} not found in their passage")
    return 0


def _calibrate(given: argparse.Namespace, console: Console) -> int:
    result = read_result(given.result)
    found = calibrate(result, most_false_refusals=given.false_refusals)
    show_calibration(found, console)
    if given.apply:
        base = result.configuration.base
        with _client(given, load_settings()) as client:
            apply(client, base, found)
        console.print(f"the base {base} is strict now, from a relevance of {found.threshold} on", markup=False)
    return 0


def _compare(given: argparse.Namespace, console: Console) -> int:
    first, second = read_result(given.first), read_result(given.second)
    found = compare(first, second, Bootstrap(given.resamples, given.seed))
    show_differences(first, second, found, console)
    return 0


def _questions(given: argparse.Namespace) -> QuestionSet:
    files_of = None if given.passages is None else read_passages(given.passages, given.file_pattern)
    read = read_questions(given.questions, files_of)
    return QuestionSet(given.questions, sha256_of(given.questions), read[: given.limit])


def _grader(given: argparse.Namespace, settings: Settings, client: ChatchatClient) -> Grader:
    if given.grade == "judge":
        return JudgeGrader(client, given.grade_model)
    if given.grade == "embedding":
        url = (given.gateway or settings.server.gateway.url).rstrip("/")
        key = _key(given, settings, elsewhere=given.gateway is not None)
        gateway = EmbeddingsAddress(url, settings.server.request_timeout_seconds, key)
        model = given.grade_model or settings.models.default_embedding
        return EmbeddingGrader(gateway, model, given.grade_threshold)
    return StringGrader()


def _api(given: argparse.Namespace, settings: Settings) -> str:
    url: str = given.api or settings.server.api.url
    return url.rstrip("/")


@contextlib.contextmanager
def _client(given: argparse.Namespace, settings: Settings) -> Iterator[ChatchatClient]:
    api = _api(given, settings)
    if not api.startswith(("http://", "https://")):
        raise EvaluationRefused(source=api, reason="the address of an API begins with http:// or https://")
    made = ChatchatClient(
        api,
        timeout_seconds=settings.server.request_timeout_seconds,
        key=_key(given, settings, elsewhere=given.api is not None),
        language="en",
    )
    with contextlib.closing(made):
        yield made


def _key(given: argparse.Namespace, settings: Settings, *, elsewhere: bool) -> SecretStr | None:
    """The key of the file, or the configured one, which is never shown to another address than the configured."""
    if given.key_file is not None:
        return SecretStr(_text(given.key_file))
    return next(iter(settings.server.access_keys), None) if not elsewhere else None


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as failure:
        raise EvaluationRefused(source=str(path), reason="no key can be read from it") from failure
    if not text or not text.isprintable():
        raise EvaluationRefused(source=str(path), reason="it must hold one line, the key")
    return text


if __name__ == "__main__":
    logs.configure("evaluation", "WARNING")
    raise SystemExit(main(sys.argv[1:]))
