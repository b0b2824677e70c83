"""hit@1, hit@5 and MRR@10 on the retrieval sets, through the product's own API.

`python -m tests.bench.retrieval [--write]`. Every passage is uploaded as a Markdown file of its own (title as heading),
every question goes to /knowledge_base/search_docs; a hit is a chunk of a gold passage's file, each file counted once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.bench.report import publish, table
from tests.conftest import CORPORA
from tests.stack import Stack

# BM25 hit@1 and hit@10 from the README of the folder: character bigrams for Chinese, words for English.
BASELINES = {
    "cmrc2018_dev": (0.961, 0.999),
    "squadshifts_new_wiki": (0.774, 0.954),
    "xquad_zh": (0.931, 0.992),
    "domainrag_ruc_zh": (0.332, 0.847),
    "squad_v1.1_dev_subset": (0.865, 0.981),
    "financebench": (0.233, 0.553),
    "dureader_search_zh": (0.51, 1.0),
    "covidqa_long_en": (0.65, 0.896),
}
REQUIRED = ("cmrc2018_dev", "squadshifts_new_wiki", "xquad_zh", "domainrag_ruc_zh")
_BATCH = 40


@dataclass(frozen=True)
class Figures:
    """What was measured on one set."""

    passages: int
    questions: int
    hit1: float
    hit5: float
    hit10: float
    mrr10: float
    ingest_seconds: float
    search_ms: float


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as opened:
        for line in opened:
            yield json.loads(line)


def ingest(client: httpx.Client, base: str, folder: Path) -> tuple[dict[str, str], float]:
    """Upload every passage; returns file name → passage id, and the seconds that took."""
    answer = client.post("/knowledge_base/create_knowledge_base", json={"knowledge_base_name": base}).json()
    if answer["code"] != 200:
        raise AssertionError(answer)
    names: dict[str, str] = {}
    batch: list[tuple[str, tuple[str, bytes]]] = []
    began = time.monotonic()
    passages = list(lines(folder / "passages.jsonl"))
    for number, passage in enumerate(passages):
        name = f"{number:05}.md"
        names[name] = passage["id"]
        title = " ".join((passage.get("title") or "").split())
        text = f"# {title}\n\n{passage['text']}" if title else passage["text"]
        batch.append(("files", (name, text.encode())))
        if len(batch) == _BATCH or number == len(passages) - 1:
            answer = client.post("/knowledge_base/upload_docs", data={"knowledge_base_name": base}, files=batch).json()
            if answer["code"] != 200 or answer["data"]["failed_files"]:
                raise AssertionError(answer)
            batch = []
    return names, time.monotonic() - began


def ranked(client: httpx.Client, base: str, question: str) -> tuple[list[str], float]:
    """File names in the order found, each once, and the milliseconds that took."""
    body = {"query": question, "knowledge_base_name": base, "top_k": 30}
    began = time.perf_counter()
    found = client.post("/knowledge_base/search_docs", json=body).json()
    took = 1000 * (time.perf_counter() - began)
    return list(dict.fromkeys(hit["metadata"]["source"] for hit in found)), took


def measure(api: str, folder: Path, limit: int | None) -> Figures:
    """Ingest one set and ask all of its questions."""
    with httpx.Client(base_url=api, trust_env=False, timeout=600) as client:
        base = folder.name
        names, ingest_seconds = ingest(client, base, folder)
        questions = list(lines(folder / "questions.jsonl"))[:limit]
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda q: ranked(client, base, q["question"]), questions))
    ranks = []
    for question, (files, _) in zip(questions, answers, strict=True):
        gold = set(question["gold_passage_ids"])
        ranks.append(next((rank for rank, name in enumerate(files, 1) if names[name] in gold), 0))
    count = len(ranks)
    return Figures(
        passages=len(names),
        questions=count,
        hit1=sum(rank == 1 for rank in ranks) / count,
        hit5=sum(1 <= rank <= 5 for rank in ranks) / count,
        hit10=sum(1 <= rank <= 10 for rank in ranks) / count,
        mrr10=sum(1 / rank for rank in ranks if 1 <= rank <= 10) / count,
        ingest_seconds=ingest_seconds,
        search_ms=statistics.median(took for _, took in answers),
    )


HEADER = (
    *("set", "passages", "questions", "hit@1", "BM25 hit@1", "hit@5"),
    *("hit@10", "BM25 hit@10", "MRR@10", "ingest s", "search ms"),
)


def row(name: str, got: Figures) -> tuple[object, ...]:
    """One line of the table; the baseline's figures beside ours."""
    base1, base10 = BASELINES[name]
    hits = (got.hit1, base1, got.hit5, got.hit10, base10, got.mrr10)
    shown = tuple(f"{value:.3f}" for value in hits)
    return (name, got.passages, got.questions, *shown, f"{got.ingest_seconds:.0f}", f"{got.search_ms:.0f}")


def main() -> None:
    """Measure the sets and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(REQUIRED), help="folders below corpora/retrieval")
    parser.add_argument("--limit", type=int, help="ask only the first questions")
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    if not CORPORA.is_dir():
        raise SystemExit(f"{CORPORA} is absent: nothing to measure")
    rows = []
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), flags=("--all-api",), webui=False) as stack:
        for name in arguments.sets:
            rows.append(row(name, measure(stack.api, CORPORA / "retrieval" / name, arguments.limit)))
            print(rows[-1], flush=True)
    publish(
        "Retrieval through the API",
        f"python -m tests.bench.retrieval {' '.join(arguments.sets)}",
        table(HEADER, rows),
        write=arguments.write,
    )


if __name__ == "__main__":
    main()
