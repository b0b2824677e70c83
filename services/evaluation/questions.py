"""Question sets: JSON Lines from outside, parsed into questions with the names of their gold files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from services.foundation.errors import EvaluationRefused

Groups = tuple[tuple[str, ...], ...]
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Utterance:
    """An earlier message of a conversation; `role` is user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class SetQuestion:
    """A question of a question set.

    Attributes:
        ident: tells it apart in its set; two runs are compared by it.
        text: what is asked.
        answers: right answers, each good enough; one of several parts is right where all of them stand.
        gold: names of the files that hold the answer.
        gold_groups: the question is satisfied where every group has a member; none: where any gold file is found.
        history: what was said before.
        is_answerable: whether the base holds the answer.
    """

    ident: str
    text: str
    answers: Groups
    gold: tuple[str, ...]
    gold_groups: Groups
    history: tuple[Utterance, ...]
    is_answerable: bool

    @property
    def evidence(self) -> Groups:
        """The groups of files that must be found; none for a question without an answer."""
        if not self.is_answerable:
            return ()
        return self.gold_groups or (self.gold,)


class _Line(BaseModel):
    """Any line: unknown fields are left alone, and nothing is converted."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Earlier(_Line):
    """One turn of the history: a message as the API takes it, or a question with its answers as DomainRAG has it."""

    role: str | None = None
    content: str | None = None
    question: str | None = None
    answers: list[str] = []


class _QuestionLine(_Line):
    """A question as it is written down. `gold` names files, `gold_passage_ids` passages; groups likewise."""

    question: str
    id: str | None = None
    answers: list[str] = []
    answer_groups: list[list[str]] = []
    gold: list[str] | None = None
    gold_passage_ids: list[str] | None = None
    gold_groups: list[list[str]] = []
    history: list[_Earlier] = []
    unanswerable: bool | None = None


class _PassageLine(_Line):
    """A passage and the file it was uploaded as."""

    id: str
    file: str | None = None


def read_passages(path: Path, pattern: str | None) -> dict[str, str]:
    """Passage id → name of the file it was uploaded as.

    Args:
        path: JSON Lines with `id` and, without a pattern, `file`.
        pattern: how the files were named: `{id}`, and `{number}` counted from 0, e.g. `{number:05}.md`.

    Raises:
        EvaluationRefused: a line is not a passage, or names no file; it says which.
    """
    names: dict[str, str] = {}
    for number, (where, line) in enumerate(_lines(path)):
        passage = _parsed(_PassageLine, line, where)
        name = passage.file if pattern is None else _named(pattern, passage.id, number)
        if not name:
            raise EvaluationRefused(source=where, reason='it has no "file"; or say --file-pattern')
        names[passage.id] = name
    return names


def read_questions(path: Path, files_of: Mapping[str, str] | None = None) -> list[SetQuestion]:
    """The questions of a file, in order.

    Args:
        path: JSON Lines; docs/howto/evaluate.md describes the fields.
        files_of: passage id → file name, for questions that name passages.

    Raises:
        EvaluationRefused: a line is not a question; it says which line and why. Or there is none.
    """
    questions: dict[str, SetQuestion] = {}
    for where, text in _lines(path):
        line = _parsed(_QuestionLine, text, where)
        try:
            question = _question(line, f"line {where.rpartition(' ')[2]}", files_of)
        except ValueError as fault:
            raise EvaluationRefused(source=where, reason=str(fault)) from fault
        if question.ident in questions:
            raise EvaluationRefused(source=where, reason=f"the id {question.ident!r} was used before")
        questions[question.ident] = question
    if not questions:
        raise EvaluationRefused(source=str(path), reason="it holds no question")
    return list(questions.values())


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Every line that is not blank, and where it stands."""
    try:
        with path.open(encoding="utf-8-sig") as opened:
            for number, line in enumerate(opened, 1):
                if line.strip():
                    yield f"{path}, line {number}", line
    except UnicodeDecodeError as failure:
        raise EvaluationRefused(source=str(path), reason="it is not UTF-8 text") from failure
    except OSError as failure:
        raise EvaluationRefused(source=str(path), reason=failure.strerror or type(failure).__name__) from failure


def _parsed(shape: type[M], line: str, where: str) -> M:
    try:
        return shape.model_validate_json(line)
    except ValidationError as failure:
        first = failure.errors()[0]
        field = ".".join(map(str, first["loc"]))
        reason = f"{field}: {first['msg']}" if field else first["msg"]
        raise EvaluationRefused(source=where, reason=reason) from failure


def _named(pattern: str, passage: str, number: int) -> str:
    try:
        return pattern.format(id=passage, number=number)
    except (KeyError, ValueError, IndexError, AttributeError) as failure:
        raise EvaluationRefused(source=pattern, reason="a pattern may hold {id} and {number}") from failure


def _question(line: _QuestionLine, name: str, files_of: Mapping[str, str] | None) -> SetQuestion:
    """Raises ValueError with what is wrong with the line."""
    if not line.question.strip():
        raise ValueError("question: it is empty")
    gold, groups = _gold(line, files_of)
    if line.unanswerable is False and not gold:
        raise ValueError("an answerable question must name its gold")
    return SetQuestion(
        ident=line.id or name,
        text=line.question,
        answers=_answers(line),
        gold=gold,
        gold_groups=groups,
        history=tuple(_history(line.history)),
        is_answerable=bool(gold) and not line.unanswerable,
    )


def _gold(line: _QuestionLine, files_of: Mapping[str, str] | None) -> tuple[tuple[str, ...], Groups]:
    if line.gold is None and line.gold_passage_ids is None:
        if not line.unanswerable:
            raise ValueError('it has neither "gold" nor "gold_passage_ids", and is not marked "unanswerable"')
        return (), ()
    if line.gold is not None and line.gold_passage_ids is not None:
        raise ValueError('it has both "gold" and "gold_passage_ids"')
    named = line.gold if line.gold is not None else (line.gold_passage_ids or [])
    by_passage = files_of if line.gold is None else None
    if line.gold is None and files_of is None and named:
        raise ValueError("it names passages: say with --passages which files they were uploaded as")
    groups = tuple(_files(group, by_passage) for group in line.gold_groups)
    if not all(groups):
        raise ValueError("gold_groups: a group is empty")
    gold = dict.fromkeys([*_files(named, by_passage), *(name for group in groups for name in group)])
    return tuple(gold), groups


def _files(names: Sequence[str], by_passage: Mapping[str, str] | None) -> tuple[str, ...]:
    if by_passage is None:
        return tuple(dict.fromkeys(names))
    unknown = [name for name in names if name not in by_passage]
    if unknown:
        raise ValueError(f"the passage {unknown[0]!r} is not in the file of passages")
    return tuple(dict.fromkeys(by_passage[name] for name in names))


def _answers(line: _QuestionLine) -> Groups:
    """`answer_groups`, as DomainRAG has them, are alternatives of parts; plain answers are alternatives of one part."""
    passages = set(line.gold_passage_ids or line.gold or ())
    if line.answer_groups and passages and all(passages >= set(group) for group in line.answer_groups):
        raise ValueError('answer_groups holds strings of the answer; groups of passages or files are "gold_groups"')
    groups = line.answer_groups or [[answer] for answer in line.answers]
    kept = [tuple(part for part in group if part.strip()) for group in groups]
    return tuple(group for group in kept if group)


def _history(earlier: Sequence[_Earlier]) -> Iterator[Utterance]:
    for one in earlier:
        if one.role is not None and one.content is not None:
            yield Utterance(one.role, one.content)
        elif one.question is not None:
            yield Utterance("user", one.question)
            yield Utterance("assistant", ", ".join(one.answers))
        else:
            raise ValueError("history: each entry needs role and content, or question and answers")
