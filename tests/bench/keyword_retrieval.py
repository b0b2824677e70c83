"""Keyword retrieval on real question sets: `python -m tests.bench.keyword_retrieval [postgres] [set …]`.

`postgres`: over a PostgreSQL server of its own instead of SQLite. Not part of `check`.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.api.domain.knowledge import Chunk, ChunkId, FileId, KnowledgeBaseId, Place
from services.api.domain.names import FileName
from services.api.domain.ports import TextIndex
from services.api.knowledge.text_index.postgres.index import PostgresIndex
from services.api.knowledge.text_index.site import Site
from services.api.knowledge.text_index.sqlite_fts import SqliteFtsIndex
from tests.bench.retrieval.sets import BASELINES, FOLDER, lines
from tests.postgres import ABSENT, binaries, running

DEFAULT_SETS = ("cmrc2018_dev", "xquad_zh", "squadshifts_new_wiki", "domainrag_ruc_zh")
DEPTHS = (1, 5, 10)


@dataclass(frozen=True)
class Outcome:
    hits: tuple[float, ...]
    indexed_per_second: float
    search_ms: float
    slowest_ms: float
    answered_coverage: float


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _chunks(folder: Path, base: KnowledgeBaseId) -> list[Chunk]:
    return [
        Chunk(
            id=ChunkId(_hex(passage["id"])),
            knowledge_base_id=base,
            file_id=FileId(_hex("file")),
            file_name=FileName("_.txt"),
            version=1,
            position=position,
            text=passage["text"],
            place=Place(heading=(passage.get("title") or "",)),
        )
        for position, passage in enumerate(lines(folder / "passages.jsonl"))
    ]


@asynccontextmanager
async def opened(*, postgres: bool) -> AsyncIterator[TextIndex]:
    """The index, empty."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        index: TextIndex = SqliteFtsIndex(Site(folder, ""))
        if postgres:
            programs = binaries()
            assert programs is not None, ABSENT
            index = PostgresIndex(Site(folder, stack.enter_context(running(programs)).url("postgres")))
        await index.start()
        yield index
        await index.stop()


async def measure(folder: Path, index: TextIndex) -> Outcome:
    base = KnowledgeBaseId(_hex(folder.name))
    chunks = _chunks(folder, base)
    began = time.perf_counter()
    for at in range(0, len(chunks), 500):
        await index.upsert(chunks[at : at + 500])
    indexed = len(chunks) / (time.perf_counter() - began)
    questions = list(lines(folder / "questions.jsonl"))
    found = dict.fromkeys(DEPTHS, 0)
    times, coverages = [], []
    for question in questions:
        gold = {_hex(id_) for id_ in question["gold_passage_ids"]}
        began = time.perf_counter()
        matches = await index.search(base, question["question"], limit=30)
        times.append((time.perf_counter() - began) * 1000)
        for depth in DEPTHS:
            found[depth] += any(match.id in gold for match in matches[:depth])
        coverages += [match.similarity for match in matches[:1]]
    hits = tuple(found[depth] / len(questions) for depth in DEPTHS)
    return Outcome(hits, indexed, sum(times) / len(times), max(times), sum(coverages) / len(coverages))


async def main(names: list[str]) -> int:
    print(
        f"{'set':24}{'hit@1':>8}{'base':>8}{'hit@5':>8}{'hit@10':>8}{'base':>8}{'chunks/s':>10}{'ms':>7}{'max':>7}{'cov':>6}"
    )
    worse = 0
    sets = [name for name in names if name != "postgres"]
    async with opened(postgres="postgres" in names) as index:
        for name in sets or DEFAULT_SETS:
            outcome = await measure(FOLDER / name, index)
            first, tenth = BASELINES.get(name, (0.0, 0.0))
            one, five, ten = (round(hit, 3) for hit in outcome.hits)
            worse += one < first or ten < tenth
            print(
                f"{name:24}{one:8.3f}{first:8.3f}{five:8.3f}{ten:8.3f}{tenth:8.3f}{outcome.indexed_per_second:10.0f}"
                f"{outcome.search_ms:7.1f}{outcome.slowest_ms:7.1f}{outcome.answered_coverage:6.2f}"
            )
    return worse


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
