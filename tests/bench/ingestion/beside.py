"""What a question waits while files are indexed: `python -m tests.bench.ingestion.beside [--files 200] [--write]`.

One asker searches a base again and again, first with nothing else going on, then while files are indexed into the same
base, then idle once more; questions in both languages. Wanted: a p95 beside the indexing of at most twice the idle one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

from tests.bench.ingestion.driving import Client, percentile
from tests.bench.ingestion.making import chinese, english, pages, written_docx, written_pdf
from tests.bench.report import publish, table
from tests.conftest import CORPORA
from tests.stack import Stack

_PAUSE_SECONDS = 0.1
_IDLE_QUESTIONS = 120
_SECONDS = 540.0


def questions() -> Iterator[str]:
    """Questions of an encyclopaedia in Chinese and pieces of a novel's sentences, in turn, without end."""
    lines = (CORPORA / "retrieval" / "cmrc2018_dev" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [json.loads(line)["question"] for line in lines[:200]]
    pieces = [" ".join(paragraph.split()[2:11]) for paragraph in islice(english(), 200)]
    return cycle([question for pair in zip(asked, pieces, strict=True) for question in pair])


def files(folder: Path, count: int) -> list[Path]:
    """Files of two to five pages: PDF, Word and text, half of them Chinese."""
    made = []
    paragraphs = {"en": english(), "zh": chinese()}
    for number in range(count):
        language = ("en", "zh")[number % 2]
        texts = pages(paragraphs[language], 2 + number % 4)
        if number // 2 % 3 == 0:
            made.append(written_pdf(folder / f"{number:03}.pdf", texts, language))
        elif number // 2 % 3 == 1:
            made.append(written_docx(folder / f"{number:03}.docx", texts))
        else:
            path = folder / f"{number:03}.txt"
            path.write_text("\n\n".join(texts), encoding="utf-8")
            made.append(path)
    return made


def search_ms(client: Client, question: str) -> float:
    """One search, in milliseconds. What it finds is measured elsewhere."""
    began = time.perf_counter()
    body = {"query": question, "knowledge_base_name": client.base, "top_k": 3}
    answer = client.http.post("/knowledge_base/search_docs", json=body)
    took = 1000 * (time.perf_counter() - began)
    assert answer.status_code == 200, answer.text
    assert isinstance(answer.json(), list), answer.text
    return took


def idle(client: Client, asked: Iterator[str], count: int) -> list[float]:
    """Searches with a short pause after each."""
    found = []
    for question in islice(asked, count):
        found.append(search_ms(client, question))
        time.sleep(_PAUSE_SECONDS)
    return found


def beside(client: Client, asked: Iterator[str], seconds: float) -> tuple[list[float], int]:
    """Searches until nothing is pending any more, or time is up; and how many files were still pending then."""
    found: list[float] = []
    limit = time.monotonic() + seconds
    left = 1
    while left and time.monotonic() < limit:
        found += idle(client, asked, 20)
        left = sum(file["state"] == "pending" for file in client.files())
    return found, left


def row(what: str, found: Sequence[float], against: float | None = None) -> list[object]:
    """Percentiles of a run, and its p95 against the idle one."""
    p95 = percentile(found, 0.95)
    shown = [f"{value:.0f}" for value in (statistics.median(found), p95, percentile(found, 0.99), max(found))]
    return [what, len(found), *shown, "1" if against is None else f"{p95 / against:.2f}"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200, help="that are indexed meanwhile")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="longest time beside them")
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("stack", "first", "then"):
            (root / name).mkdir()
        then = files(root / "then", arguments.files)
        with Stack(root / "stack", webui=False) as stack:
            client, asked = Client(stack.api, "asked"), questions()
            first = [path.rename(path.with_stem(f"first {path.stem}")) for path in files(root / "first", 20)]
            client.indexed(first)
            idle(client, asked, 20)
            before = idle(client, asked, _IDLE_QUESTIONS)
            began = time.perf_counter()
            client.send(then)
            meanwhile, left = beside(client, asked, arguments.seconds)
            took = time.perf_counter() - began
            client.settled(seconds=1800)
            after = idle(client, asked, _IDLE_QUESTIONS)
    p95 = percentile([*before, *after], 0.95)
    rows = [row("idle, before", before), row("beside the indexing", meanwhile, p95), row("idle, after", after)]
    note = f"{len(then)} files sent at once; asked beside them for {took:.0f} s, after which {left} were pending."
    publish(
        "A question beside indexing: search through the API, ms",
        f"python -m tests.bench.ingestion.beside --files {arguments.files}",
        table(("when", "searches", "p50", "p95", "p99", "max", "p95 × idle (before and after)"), rows) + f"\n\n{note}",
        write=arguments.write,
    )


if __name__ == "__main__":
    main()
