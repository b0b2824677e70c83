"""Walks through a base's files, makes questions of their passages and writes them as a question set."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.clients.chatchat import ChatchatClient
from services.evaluation.generating.facts import Fact
from services.foundation.errors import EvaluationRefused
from services.foundation.paths import atomic_write
from services.wire.chatchat import FileDetails, SearchRequest

FactsOf = Callable[[str, str], Sequence[Fact]]
"""Text of a passage and its heading → facts."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be made: at most `count` questions about `base`; one seed gives one set."""

    base: str
    count: int
    seed: int


@dataclass(frozen=True, slots=True)
class MadeQuestion:
    """A question made of a passage; `gold` are the files that hold what it was made from."""

    fact: Fact
    gold: tuple[str, ...]


def make(client: ChatchatClient, wanted: Wanted, facts_of: FactsOf) -> list[MadeQuestion]:
    """Take one question after the other from file after file, until there are enough or no more.

    Files come in the order of the seed, and so do the passages of each; every file gives a question before one gives a
    second. A question that came up with two answers is dropped.

    Raises:
        KnowledgeBaseNotFound: there is no such base.
        EvaluationRefused: nothing in it can be asked about.
    """
    random_order = random.Random(wanted.seed)  # noqa: S311 - a repeatable choice, no secret
    files = sorted((file for file in client.files(wanted.base) if file.state == "indexed"), key=lambda file: file.name)
    copies = _copies(files)
    order = [file.name for file in files if file.duplicate_of is None]
    random_order.shuffle(order)
    waiting = [(name, _questions_of(client, wanted, name, random_order.random(), facts_of)) for name in order]
    made: dict[str, MadeQuestion | None] = {}
    while waiting and sum(one is not None for one in made.values()) < wanted.count:
        asked = [(name, source, next(source, None)) for name, source in waiting]
        waiting = [(name, source) for name, source, fact in asked if fact is not None]
        for name, _, fact in asked:
            if fact is not None:
                made[fact.question] = _joined(made, MadeQuestion(fact, copies[name]))
    kept = [one for one in made.values() if one is not None][: wanted.count]
    if not kept:
        raise EvaluationRefused(source=wanted.base, reason="no question can be made of its passages")
    return kept


def write_questions(made: Sequence[MadeQuestion], target: Path) -> None:
    """Write a question set, whole or not at all.

    Raises:
        EvaluationRefused: it cannot be written.
    """
    lines = [
        {
            "id": f"g{number:04}",
            "question": one.fact.question,
            "answers": [one.fact.answer],
            "gold": list(one.gold),
            "evidence": one.fact.evidence,
        }
        for number, one in enumerate(made, 1)
    ]
    try:
        with atomic_write(target) as opened:
            opened.write("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines).encode())
    except OSError as failure:
        raise EvaluationRefused(source=str(target), reason=failure.strerror or type(failure).__name__) from failure


def _questions_of(client: ChatchatClient, wanted: Wanted, name: str, seed: float, facts_of: FactsOf) -> Iterator[Fact]:
    """The facts of a file; its passages are asked for when the first fact is. `_` in a name is a wildcard there."""
    listed = client.search(SearchRequest(knowledge_base_name=wanted.base, file_name=name))
    passages = [passage for passage in listed if passage.metadata.get("source") == name]
    random.Random(seed).shuffle(passages)  # noqa: S311
    for passage in passages:
        yield from facts_of(passage.page_content, str(passage.metadata.get("heading") or ""))


def _copies(files: Sequence[FileDetails]) -> dict[str, tuple[str, ...]]:
    """Each first file → itself and the files with the same bytes, which hold every answer too."""
    return {
        file.name: (file.name, *(other.name for other in files if other.duplicate_of == file.name)) for file in files
    }


def _joined(made: Mapping[str, MadeQuestion | None], new: MadeQuestion) -> MadeQuestion | None:
    """What stands for a question that came up: one of several files if the answers agree, nothing if they do not."""
    known = made.get(new.fact.question, new)
    if known is None or known.fact.answer != new.fact.answer:
        return None
    return MadeQuestion(known.fact, tuple(dict.fromkeys([*known.gold, *new.gold])))
