"""Paired comparison: equal runs do not differ, a shift is seen, other questions are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.evaluation.comparing import Bootstrap, compare, interval
from services.evaluation.metrics.summary import percentile, summarise
from services.evaluation.records import read_result, write_result
from services.foundation.errors import EvaluationRefused
from tests.unit.evaluation.results import asked, result

QUICK = Bootstrap(resamples=500, seed=3)


def test_equal_runs_do_not_differ():
    run = result([{"hit@1": 1.0}, {"hit@1": 0.0}, {"hit@1": 1.0}])
    (found,) = compare(run, run, QUICK)
    assert (found.low, found.high, found.won, found.lost, found.count) == (0, 0, 0, 0, 3)
    assert not found.is_clear


def test_a_shift_is_seen_and_the_drawing_is_repeatable():
    before = result([{"hit@1": float(number % 3 == 0), "search_ms": 10.0} for number in range(90)])
    after = result([{"hit@1": float(number % 3 != 1), "search_ms": 12.0} for number in range(90)])
    hits, times = compare(before, after, QUICK)
    assert (hits.measure, hits.won, hits.lost) == ("hit@1", 30, 0)
    assert hits.second - hits.first == pytest.approx(1 / 3)
    assert 0.2 < hits.low < 1 / 3 < hits.high < 0.5
    assert hits.is_clear
    assert (times.measure, times.low, times.high, times.won, times.lost) == ("search_ms", 2, 2, 0, 90)
    assert compare(before, after, QUICK) == [hits, times]
    assert compare(before, after, Bootstrap(500, seed=4))[0] != hits


def test_the_interval_is_that_of_the_normal_approximation_for_many_questions():
    low, high = interval([0.0, 1.0] * 500, Bootstrap(4000, seed=1))
    half = 1.96 * 0.5 / 1000**0.5
    assert low == pytest.approx(0.5 - half, abs=0.003)
    assert high == pytest.approx(0.5 + half, abs=0.003)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.integers(0, 9))
def test_an_interval_lies_within_the_differences(differences: list[float], seed: int):
    low, high = interval(differences, Bootstrap(100, seed))
    assert min(differences) - 1e-9 <= low <= high <= max(differences) + 1e-9


def test_a_measure_is_compared_where_both_have_it():
    first = result([{"citation_precision": 1.0}, {}, {"hit@1": 1.0}])
    second = result([{"citation_precision": 0.5}, {"citation_precision": 1.0}, {}])
    (found,) = compare(first, second, QUICK)
    assert (found.measure, found.count, found.lost) == ("citation_precision", 1, 1)
    with pytest.raises(EvaluationRefused, match="no measure was taken in both"):
        compare(first, result([{}, {}, {}]), QUICK)


def test_other_questions_are_refused():
    run = result([{"hit@1": 1.0}, {"hit@1": 0.0}])
    with pytest.raises(EvaluationRefused, match="1 only in long, 0 only in run, 0 with another"):
        compare(result([{}, {}, {}], "long"), run, QUICK)
    changed = dataclasses.replace(run.records[1], question=asked(1, text="another"))
    with pytest.raises(EvaluationRefused, match=r"1 with another text.*'q1'"):
        compare(run, dataclasses.replace(run, records=(run.records[0], changed)), QUICK)


def test_a_result_comes_back_as_it_was(tmp_path: Path):
    run = result([{"hit@1": 1.0, "search_ms": 3.5}], "标签")
    write_result(run, tmp_path / "r.json")
    assert read_result(tmp_path / "r.json") == run
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"label": 1}', "nonsense"])
def test_what_is_no_result_is_refused(tmp_path: Path, text: str):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(EvaluationRefused, match="not a result of a run"):
        read_result(tmp_path / "r.json")
    with pytest.raises(EvaluationRefused, match="No such file"):
        read_result(tmp_path / "absent.json")


def test_a_summary_counts_what_is_defined():
    run = result([{"hit@1": 1.0, "search_ms": 1.0}, {"hit@1": 0.0, "search_ms": 3.0}, {"search_ms": 9.0}])
    assert (run.summary.figures["hit@1"].mean, run.summary.figures["hit@1"].count) == (0.5, 2)
    assert run.summary.percentiles == {"search_ms": {"p50": 3.0, "p95": 9.0}}
    assert "contains" not in run.summary.figures
    assert summarise(run.records, []).absent_gold == 3


def test_percentiles_are_of_the_nearest_rank():
    values = [float(number) for number in range(1, 21)]
    assert (percentile(values, 0.5), percentile(values, 0.95), percentile([7.0], 0.95)) == (10, 19, 7)
