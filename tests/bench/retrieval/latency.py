"""How long a search of a large base takes: `python -m tests.bench.retrieval.latency [--chunks 50000] [--write]`.

Text files are indexed through the API by an embedder that reads 16 tokens of a chunk: real vectors of the real length,
made sooner. Then one asker and twenty at once search through the API, with the light reranker over 30 candidates and
without; beside it the same process asks the two stores themselves, through their own clients, in the same minute.
Wanted at the 95th percentile: 150 ms without the reranker, 600 ms with it; no error with twenty askers.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

import httpx
from pymilvus import MilvusClient

from services.api.domain.knowledge import KnowledgeBaseId
from services.api.knowledge.text_index.site import Site
from services.api.knowledge.text_index.sqlite_fts import SqliteFtsIndex
from tests.bench.ingestion.beside import questions
from tests.bench.ingestion.driving import Client, embedder_cut_at, percentile
from tests.bench.ingestion.scale import texts
from tests.bench.report import publish, table
from tests.stack import Stack

_TOKENS = 16
_CALLS = 200
_ASKERS = 20
_CALLS_EACH = 20
_CANDIDATES = 30
_DIMENSIONS = 384


def took_ms(call: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def figures(kind: str, took: Sequence[float], note: str = "") -> list[object]:
    """A line of the table."""
    shown = (statistics.median(took), percentile(took, 0.95), max(took))
    return [kind, len(took), *(f"{one:.0f}" for one in shown), note]


def searched(client: Client) -> Callable[[str], None]:
    """One search through the API; an error ends the bench."""

    def search(question: str) -> None:
        body = {"query": question, "knowledge_base_name": client.base, "top_k": 3}
        answer = client.http.post("/knowledge_base/search_docs", json=body)
        if answer.status_code != httpx.codes.OK or not isinstance(answer.json(), list):
            raise AssertionError(answer.text)

    return search


def asked_by_many(client: Client) -> tuple[list[float], int]:
    """What each of many askers waits, all at once; and how many errors there were."""
    search = searched(client)
    asked = list(islice(questions(), _ASKERS * _CALLS_EACH))

    def ask(number: int) -> list[float | None]:
        took: list[float | None] = []
        for question in asked[number::_ASKERS]:
            try:
                took.append(took_ms(partial(search, question)))
            except (httpx.HTTPError, AssertionError):
                took.append(None)
        return took

    with ThreadPoolExecutor(_ASKERS) as pool:
        every = [one for each in pool.map(ask, range(_ASKERS)) for one in each]
    failed = sum(one is None for one in every)
    return [one for one in every if one is not None], failed


def stores_themselves(stack: Stack) -> list[list[object]]:
    """The same searches of the bare stores: Milvus by its own client with random vectors, FTS5 in this process."""
    chance = random.Random(7)  # noqa: S311 - no secret
    milvus = MilvusClient(f"http://127.0.0.1:{stack.ports['milvus']}")
    (name,) = (one for one in milvus.list_collections() if one.startswith("kb_"))
    vectors = [[chance.gauss(0, 1) for _ in range(_DIMENSIONS)] for _ in range(_CALLS)]
    dense = [took_ms(partial(milvus.search, name, [vector], limit=_CANDIDATES)) for vector in vectors]
    milvus.close()
    return [figures("Milvus Lite itself", dense), figures("FTS5 itself", keyword_ms(stack, name.removeprefix("kb_")))]


def keyword_ms(stack: Stack, base: str) -> list[float]:
    """Milliseconds of each search of the keyword index, opened in this process."""

    async def run() -> list[float]:
        index = SqliteFtsIndex(Site(stack.data_dir, ""))
        await index.start()
        took = []
        for question in islice(questions(), _CALLS):
            began = time.perf_counter()
            await index.search(KnowledgeBaseId(base), question, limit=_CANDIDATES)
            took.append(1000 * (time.perf_counter() - began))
        await index.stop()
        return took

    return asyncio.run(run())


def measured(client: Client, how: str) -> list[list[object]]:
    """One asker, then many."""
    search = searched(client)
    for question in islice(questions(), 10):
        search(question)  # what a first search opens is not measured here
    alone = [took_ms(partial(search, question)) for question in islice(questions(), _CALLS)]
    many, failed = asked_by_many(client)
    return [figures(how, alone), figures(f"{how}, {_ASKERS} askers", many, f"{failed} errors")]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=50_000, help="about so many in all")
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("stack", "files"):
            (root / name).mkdir()
        paths = texts(root / "files", arguments.files, arguments.chunks, ("en",))
        cut = embedder_cut_at(root, _TOKENS)
        reranked = "CHATCHAT_KNOWLEDGE__RETRIEVAL__RERANK"
        ordered = {"CHATCHAT_KNOWLEDGE__RETRIEVAL__RERANKED": str(_CANDIDATES)}
        stack = Stack(root / "stack", webui=False, environment={**cut, **ordered})
        with stack:
            client = Client(stack.api, "large")
            client.indexed(paths, seconds=7200, every=2.0)
            chunks = sum(file["chunk_count"] for file in client.files())
            print(f"{chunks} chunks", flush=True)
            rows = measured(client, f"with the light reranker over {_CANDIDATES}")
            rows += stores_themselves(stack)
        stack.environment[reranked] = "false"
        with stack:
            client.move(stack.api)
            rows += measured(client, "without reranker")
            rows += stores_themselves(stack)
    note = (
        f"{chunks} chunks with vectors of {_DIMENSIONS}. Wanted: p95 ≤ 150 ms without and ≤ 600 ms with the reranker."
    )
    publish(
        "Search latency through the API, ms",
        f"python -m tests.bench.retrieval.latency --chunks {arguments.chunks} --files {arguments.files}",
        table(("search", "calls", "p50", "p95", "max", ""), rows) + f"\n\n{note}",
        write=arguments.write,
    )


if __name__ == "__main__":
    main()
