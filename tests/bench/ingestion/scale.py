"""Lists and searches of a large base: `python -m tests.bench.ingestion.scale [--chunks N] [--files N] [--write]`.

The files are indexed through the API by an embedder that reads 16 tokens of a chunk: real vectors of the real length,
made sooner. Half of the text is Chinese, of which that embedder makes no vectors unless `--english`. Then lists and
searches are timed, also right after a restart. Wanted: 200 ms at the 95th percentile.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from tests.bench.ingestion.beside import questions, search_ms
from tests.bench.ingestion.driving import Client, Peaks, embedder_cut_at, percentile
from tests.bench.ingestion.making import chinese, english
from tests.bench.report import publish, table
from tests.stack import Stack

_TOKENS = 16
_CALLS = 60


def texts(folder: Path, files: int, chunks: int, languages: tuple[str, ...]) -> list[Path]:
    """Text files that are cut into about so many chunks in all."""
    made = []
    sources = {"en": english(), "zh": chinese()}
    wanted = {"en": 600, "zh": 230}  # characters a chunk adds: its limit less the overlap and what sentences leave
    for number in range(files):
        language = languages[number % len(languages)]
        held, size = [], 0
        while size < wanted[language] * chunks / files:
            held.append(next(sources[language]))
            size += len(held[-1])
        path = folder / f"{number:04}.txt"
        path.write_text("\n\n".join(held), encoding="utf-8")
        made.append(path)
    return made


def timed(call: Callable[[], object], count: int = _CALLS) -> list[float]:
    """Milliseconds of each call."""
    found = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        found.append(1000 * (time.perf_counter() - began))
    return found


def measured(client: Client, when: str) -> list[list[object]]:
    """A line for each kind of call."""
    asked = questions()
    parameters = {"knowledge_base_name": client.base}
    one = {"knowledge_base_name": client.base, "file_name": "0000.txt"}
    kinds: list[tuple[str, list[float]]] = [
        ("list of bases", timed(lambda: client.http.get("/knowledge_base/list_knowledge_bases"))),
        ("details of bases", timed(lambda: client.http.get("/knowledge_base/details"))),
        ("names of files", timed(lambda: client.http.get("/knowledge_base/list_files", params=parameters))),
        ("files with their state", timed(client.files)),
        ("chunks of a file", timed(lambda: client.http.post("/knowledge_base/search_docs", json=one))),
        ("search", [search_ms(client, question) for question in islice(asked, 3 * _CALLS)]),
    ]
    return [
        [f"{name}, {when}", len(found), *(f"{one:.0f}" for one in _figures(found))] for name, found in kinds
    ]  # fmt: skip


def _figures(found: list[float]) -> tuple[float, ...]:
    return statistics.median(found), percentile(found, 0.95), max(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=100_000, help="about so many in all")
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--english", action="store_true", help="a vector for every chunk")
    parser.add_argument("--seconds", type=float, default=7200.0, help="longest time for the indexing")
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    languages = ("en",) if arguments.english else ("en", "zh")
    peaks = Peaks()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("stack", "files"):
            (root / name).mkdir()
        paths = texts(root / "files", arguments.files, arguments.chunks, languages)
        stack = Stack(root / "stack", webui=False, environment=embedder_cut_at(root, _TOKENS))
        with stack, peaks.watched(stack):
            client = Client(stack.api, "scale")
            seconds = client.indexed(paths, seconds=arguments.seconds, every=2.0)
            chunks = sum(file["chunk_count"] for file in client.files())
            print(f"{len(paths)} files, {chunks} chunks, indexed in {seconds:.0f} s", flush=True)
            rows = measured(client, "after indexing")
        with stack:
            client.move(stack.api)
            rows += measured(client, "after a restart")
    note = (
        f"{len(paths)} files, {chunks} chunks ({'English' if arguments.english else 'half Chinese, without vectors'}), "
        f"indexed in {seconds:.0f} s by an embedder that reads {_TOKENS} tokens. Most memory, MB: "
        f"{', '.join(f'{name} {size}' for name, size in peaks.rows()[:4])}. Wanted: p95 ≤ 200 ms."
    )
    publish(
        "Lists and searches of a large base, through the API, ms",
        f"python -m tests.bench.ingestion.scale --chunks {arguments.chunks} --files {arguments.files}",
        table(("call", "calls", "p50", "p95", "max"), rows) + f"\n\n{note}",
        write=arguments.write,
    )


if __name__ == "__main__":
    main()
