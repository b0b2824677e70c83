"""hit@1, hit@5 and MRR@10 on the retrieval sets, through the product's own API.

`python -m tests.bench.retrieval [SET …] [--pooled] [--write]`. Every passage is uploaded as a Markdown file of its own
(title as heading), every question goes to /knowledge_base/search_docs; a hit is a chunk of a gold passage's file, each
file counted once. answer@5: a right answer, with all of its parts where it has several, stands in the first five
chunks. `--pooled`: all sets and the distractors lie in one base.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.bench.report import publish, table
from tests.bench.retrieval.sets import (
    BASELINES,
    DISTRACTORS,
    FOLDER,
    Passage,
    client_of,
    fill,
    passages,
    questions,
    rank_of,
)
from tests.stack import Stack

_CHUNKS_READ = 5


@dataclass(frozen=True)
class Found:
    """What one question found: files in their order, each once; the first chunks' text; the milliseconds it took."""

    files: list[str]
    text: str
    took_ms: float


@dataclass(frozen=True)
class Figures:
    """What was measured on one set."""

    passages: int
    questions: int
    hit1: float
    hit5: float
    hit10: float
    mrr10: float
    answer5: float
    ingest_seconds: float
    search_ms: float


def ask(client: httpx.Client, base: str, question: str) -> Found:
    """One search."""
    body = {"query": question, "knowledge_base_name": base, "top_k": 30}
    began = time.perf_counter()
    found = client.post("/knowledge_base/search_docs", json=body).json()
    took = 1000 * (time.perf_counter() - began)
    text = "\n".join(hit["page_content"] for hit in found[:_CHUNKS_READ])
    return Found(list(dict.fromkeys(hit["metadata"]["source"] for hit in found)), "".join(text.split()), took)


def holds_answer(question: dict[str, Any], text: str) -> bool:
    """Whether all parts of one right answer stand in the text, white space aside."""
    groups = question.get("answer_groups") or [[answer] for answer in question["answers"]]
    return any(all("".join(part.split()) in text for part in group) for group in groups)


def measure(
    client: httpx.Client, base: str, known: list[Passage], asked: list[dict[str, Any]], seconds: float
) -> Figures:
    """Ask all questions of a set."""
    names = {passage.ident: passage.name for passage in known}
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda q: ask(client, base, q["question"]), asked))
    ranks = []
    for question, found in zip(asked, answers, strict=True):
        gold = {names[ident] for ident in question["gold_passage_ids"]}
        ranks.append(rank_of(found.files, gold))
    count = len(ranks)
    held = [holds_answer(question, found.text) for question, found in zip(asked, answers, strict=True)]
    return Figures(
        passages=len(known),
        questions=count,
        hit1=sum(rank == 1 for rank in ranks) / count,
        hit5=sum(1 <= rank <= 5 for rank in ranks) / count,
        hit10=sum(1 <= rank <= 10 for rank in ranks) / count,
        mrr10=sum(1 / rank for rank in ranks if 1 <= rank <= 10) / count,
        answer5=sum(held) / count,
        ingest_seconds=seconds,
        search_ms=statistics.median(found.took_ms for found in answers),
    )


HEADER = (
    *("set", "passages", "questions", "hit@1", "BM25 hit@1", "hit@5"),
    *("hit@10", "BM25 hit@10", "MRR@10", "answer@5", "ingest s", "search ms"),
)


def row(name: str, got: Figures) -> tuple[object, ...]:
    """One line of the table; the baseline's figures beside ours."""
    base1, base10 = BASELINES[name]
    hits = (got.hit1, base1, got.hit5, got.hit10, base10, got.mrr10, got.answer5)
    shown = tuple(f"{value:.3f}" for value in hits)
    return (name, got.passages, got.questions, *shown, f"{got.ingest_seconds:.0f}", f"{got.search_ms:.0f}")


def alone(client: httpx.Client, name: str, limit: int | None) -> tuple[object, ...]:
    """A set in a base of its own."""
    known = passages(name)
    seconds = fill(client, name, known)
    return row(name, measure(client, name, known, questions(name)[:limit], seconds))


def pooled(client: httpx.Client, names: list[str], limit: int | None) -> list[tuple[object, ...]]:
    """All sets in one base, and the distractors with them."""
    known = {name: passages(name, prefix=f"{number}-") for number, name in enumerate([*names, DISTRACTORS])}
    seconds = fill(client, "pooled", [passage for each in known.values() for passage in each])
    print(f"{sum(map(len, known.values()))} passages in {seconds:.0f} s", flush=True)
    rows = []
    for name in names:
        rows.append(row(name, measure(client, "pooled", known[name], questions(name)[:limit], seconds)))
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure the sets and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(BASELINES), help="folders below corpora/retrieval")
    parser.add_argument("--pooled", action="store_true", help="all in one base, with the distractors")
    parser.add_argument("--limit", type=int, help="ask only the first questions")
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    if not FOLDER.is_dir():
        raise SystemExit(f"{FOLDER} is absent: nothing to measure")
    rows = []
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), flags=("--all-api",), webui=False) as stack:
        client = client_of(stack.api)
        if arguments.pooled:
            rows = pooled(client, arguments.sets, arguments.limit)
        for name in () if arguments.pooled else arguments.sets:
            rows.append(alone(client, name, arguments.limit))
            print(rows[-1], flush=True)
    how = " --pooled" if arguments.pooled else ""
    title = "Retrieval from all sets in one base" if arguments.pooled else "Retrieval through the API"
    command = f"python -m tests.bench.retrieval {' '.join(arguments.sets)}{how}"
    publish(title, command, table(HEADER, rows), write=arguments.write)


if __name__ == "__main__":
    main()
