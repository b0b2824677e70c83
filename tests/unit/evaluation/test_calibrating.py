"""The threshold of strict answers, found from a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.evaluation.calibrating import calibrate
from services.evaluation.metrics.citations import RefusalRule, Refusing
from services.evaluation.metrics.measuring import search_metrics
from services.evaluation.metrics.summary import summarise
from services.evaluation.records import FoundPassage, Record, RunResult
from services.foundation.errors import EvaluationRefused
from tests.unit.evaluation.results import CONFIGURATION, asked

SHARES = st.lists(st.floats(0, 1), max_size=30)


def run(answerable: list[float], unanswerable: list[float]) -> RunResult:
    records = tuple(
        Record(asked(number, is_answerable=number < len(answerable)), metrics={"best_relevance": relevance})
        for number, relevance in enumerate([*answerable, *unanswerable])
    )
    return RunResult("r", "2026-11-29T00:00:00+00:00", 1.0, CONFIGURATION, summarise(records, ["a.txt"]), records)


def test_a_tenth_of_the_answerable_questions_may_be_refused():
    found = calibrate(run([number / 10 for number in range(10)], [0.05, 0.09, 0.5, 0.02]), most_false_refusals=0.1)
    assert (found.threshold, found.false_refusals, found.refusals) == (0.1, 0.1, 0.75)
    assert (found.answerable, found.unanswerable) == (10, 4)


def test_none_may_be_refused():
    found = calibrate(run([0.4, 0.7], [0.39, 0.41]), most_false_refusals=0.0)
    assert (found.threshold, found.false_refusals, found.refusals) == (0.4, 0.0, 0.5)


def test_without_unanswerable_questions_their_share_is_unknown():
    assert calibrate(run([0.4], []), most_false_refusals=0.1).refusals is None


@pytest.mark.parametrize("result", [run([], [0.3]), run([], [])])
def test_a_run_without_answerable_questions_is_refused(result: RunResult):
    with pytest.raises(EvaluationRefused, match="--mode search and a reranker"):
        calibrate(result, most_false_refusals=0.1)


@given(answerable=SHARES.filter(bool), unanswerable=SHARES, allowed=st.floats(0, 0.99))
def test_no_more_are_refused_than_allowed(answerable: list[float], unanswerable: list[float], allowed: float):
    found = calibrate(run(answerable, unanswerable), most_false_refusals=allowed)
    assert 0 <= found.threshold <= 1
    assert found.false_refusals <= allowed
    raised = sum(relevance < found.threshold + 0.001 for relevance in answerable) / len(answerable)
    assert raised > allowed or raised == found.false_refusals or found.threshold + 0.001 <= max(answerable)


def test_the_best_relevance_is_measured_of_every_question():
    found = [FoundPassage("a.txt", "1", 0.2), FoundPassage("b.txt", "2", 0.7)]
    assert search_metrics(asked(), found)["best_relevance"] == 0.7
    assert search_metrics(asked(is_answerable=False), found) == {"best_relevance": 0.7}
    assert search_metrics(asked(is_answerable=False), []) == {"best_relevance": 0.0}
    assert search_metrics(asked(is_answerable=False), [FoundPassage("a.txt", "1")]) == {}


@pytest.mark.parametrize("name", ["strict.zh-CN", "strict.en"])
def test_the_sentences_of_strict_answers_are_refusals(name: str):
    path = Path(__file__).resolve().parents[3] / "configs" / "prompts" / "nothing_found.yaml"
    sentence = yaml.safe_load(path.read_text(encoding="utf-8"))[name]["template"]
    assert Refusing(RefusalRule.SENTENCE).is_refusal(sentence)
