"""Question files: what they may hold, and what is said of a line that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.evaluation.questions import Utterance, read_passages, read_questions
from services.foundation.errors import EvaluationRefused


def written(folder: Path, *lines: dict[str, Any] | str) -> Path:
    path = folder / "set.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


def test_a_question_by_files(tmp_path: Path):
    line = {"question": "几天？", "answers": ["五天", " "], "gold": ["a.txt", "b.txt"], "lang": "zh"}
    (found,) = read_questions(written(tmp_path, "", line))
    assert (found.ident, found.text, found.answers) == ("line 2", "几天？", (("五天",),))
    assert (found.gold, found.evidence, found.is_answerable) == (("a.txt", "b.txt"), (("a.txt", "b.txt"),), True)


def test_a_question_by_passages_and_groups(tmp_path: Path):
    line = {"id": "x", "question": "q", "gold_passage_ids": ["1", "2"], "gold_groups": [["1"], ["2", "3"]]}
    files = {"1": "a.md", "2": "b.md", "3": "c.md"}
    (found,) = read_questions(written(tmp_path, line), files)
    assert (found.gold, found.evidence) == (("a.md", "b.md", "c.md"), (("a.md",), ("b.md", "c.md")))


def test_answer_groups_are_alternatives_of_parts(tmp_path: Path):
    line = {"question": "q", "answers": ["x"], "gold": ["f"], "answer_groups": [["汉语", "法语"], ["三种"]]}
    assert read_questions(written(tmp_path, line))[0].answers == (("汉语", "法语"), ("三种",))


def test_both_kinds_of_history(tmp_path: Path):
    history = [{"role": "user", "content": "a"}, {"question": "b", "answers": ["c", "d"]}]
    (found,) = read_questions(written(tmp_path, {"question": "q", "gold": ["f"], "history": history}))
    assert found.history == (Utterance("user", "a"), Utterance("user", "b"), Utterance("assistant", "c, d"))


@pytest.mark.parametrize("more", [{"gold": []}, {"unanswerable": True}, {"gold": ["f"], "unanswerable": True}])
def test_a_question_without_an_answer(tmp_path: Path, more: dict[str, Any]):
    (found,) = read_questions(written(tmp_path, {"question": "q", **more}))
    assert (found.is_answerable, found.evidence) == (False, ())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "Invalid JSON"),
        ("[]", "object"),
        ({"answers": []}, "question: Field required"),
        ({"question": " ", "gold": ["f"]}, "question: it is empty"),
        ({"question": 3, "gold": ["f"]}, "question: Input should be a valid string"),
        ({"question": "q"}, 'neither "gold" nor "gold_passage_ids"'),
        ({"question": "q", "gold": [], "gold_passage_ids": []}, "it has both"),
        ({"question": "q", "gold": [], "unanswerable": False}, "must name its gold"),
        ({"question": "q", "gold": ["f"], "gold_groups": [[]]}, "a group is empty"),
        ({"question": "q", "gold": ["f"], "history": [{"role": "user"}]}, "history: each entry needs"),
        ({"question": "q", "gold": ["f"], "answer_groups": [["f"]]}, "groups of passages or files are"),
        ({"question": "q", "gold_passage_ids": ["p"]}, "say with --passages"),
        ({"id": "one", "question": "q", "gold": []}, "the id 'one' was used before"),
        ('{"question": "\\ud800", "gold": []}', "Invalid JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: dict[str, Any] | str, said: str):
    path = written(tmp_path, {"id": "one", "question": "q", "gold": []}, line)
    with pytest.raises(EvaluationRefused) as caught:
        read_questions(path)
    assert caught.value.facts["source"] == f"{path}, line 2"
    assert said in str(caught.value.facts["reason"])


def test_files_that_hold_no_questions(tmp_path: Path):
    with pytest.raises(EvaluationRefused, match="it holds no question"):
        read_questions(written(tmp_path, ""))
    with pytest.raises(EvaluationRefused, match="No such file"):
        read_questions(tmp_path / "absent.jsonl")
    (tmp_path / "gbk.jsonl").write_bytes("几天".encode("gbk"))
    with pytest.raises(EvaluationRefused, match="not UTF-8"):
        read_questions(tmp_path / "gbk.jsonl")


def test_passages_by_their_lines_or_a_pattern(tmp_path: Path):
    path = written(tmp_path, {"id": "p", "file": "p.md"}, {"id": "q", "file": "q.md"})
    assert read_passages(path, None) == {"p": "p.md", "q": "q.md"}
    assert read_passages(path, "{number:05}.md") == {"p": "00000.md", "q": "00001.md"}
    assert read_passages(path, "{id}.txt") == {"p": "p.txt", "q": "q.txt"}
    with pytest.raises(EvaluationRefused, match="may hold"):
        read_passages(path, "{name}.txt")
    with pytest.raises(EvaluationRefused, match=r'line 1.*has no "file"'):
        read_passages(written(tmp_path, {"id": "p"}), None)
    with pytest.raises(EvaluationRefused, match="'z' is not in the file of passages"):
        read_questions(written(tmp_path, {"question": "q", "gold_passage_ids": ["z"]}), {"p": "p.md"})


@pytest.mark.corpora
def test_the_corpora_can_be_read(corpora: Path):
    folder = corpora / "retrieval" / "domainrag_ruc_zh"
    files = read_passages(folder / "passages.jsonl", "{number:05}.md")
    questions = read_questions(folder / "questions.jsonl", files)
    assert len(questions) == 346
    assert (("汉语", "法语", "英语"),) in {question.answers for question in questions}
    assert all(question.is_answerable for question in questions)
    assert read_questions(folder / "questions_conversational.jsonl", files)[0].history
    assert not any(one.is_answerable for one in read_questions(folder / "questions_unanswerable.jsonl"))
