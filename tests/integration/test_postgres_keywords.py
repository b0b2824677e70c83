"""PostgresIndex over the real thing: beside the metadata, several processes, lost connections, sqlite_fts's order."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

import pytest

from services.api.domain.knowledge import KnowledgeBaseId
from services.api.knowledge.text_index.postgres.index import PostgresIndex
from services.api.knowledge.text_index.site import Site
from services.api.knowledge.text_index.sqlite_fts import SqliteFtsIndex
from services.api.knowledge.text_index.tokens import Tokenizer
from services.api.storage.database import SqlStorage
from services.foundation.errors import StoreFailed
from tests.contract.storage import make_base
from tests.contract.text_index import BASE, OTHER, TEXTS, ids, make_chunk

_WORDS = [
    "年假",
    "报销",
    "发票",
    "备份",
    "设备",
    "税率",
    "合同",
    "付款",
    "backup",
    "invoice",
    "budget",
    "server",
    "pump",
]
_WORDS += [f"{word}{number}" for number in range(20) for word in ("valve", "seal", "motor", "阀门", "机号")]
_ENDED = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test_%'"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    made = Tokenizer()
    made.load()
    return made


@asynccontextmanager
async def opened(url: str, tokenizer: Tokenizer, **more: int):
    index = PostgresIndex(Site("", url), tokenizer, **more)  # type: ignore[arg-type]
    await index.start()
    try:
        yield index
    finally:
        await index.stop()


def sentences(count: int, seed: int = 3) -> list[str]:
    """Texts of some forty words, some of which are said again and again."""
    chance = random.Random(seed)  # noqa: S311 - the same each time
    weights = [1 / (place + 1) for place in range(len(_WORDS))]
    return [" ".join(chance.choices(_WORDS, weights, k=chance.randint(20, 60))) for _ in range(count)]


async def test_it_lies_beside_the_metadata_and_is_there_after_a_restart(postgres_url, tokenizer):
    storage = SqlStorage(postgres_url)
    await storage.start()
    async with opened(postgres_url, tokenizer) as index:
        await index.upsert([make_chunk(0, TEXTS[0])])
        async with storage.begin() as work:
            await work.knowledge_bases.add(make_base())
            await index.upsert([make_chunk(1, TEXTS[1])])
    await storage.clear()
    async with opened(postgres_url, tokenizer) as index:
        assert len(await index.ids(BASE)) == 2
        assert ids(await index.search(BASE, "发票", limit=3)) == [1]
    await storage.stop()


@pytest.mark.parametrize("count", [90, 900])
async def test_the_order_and_the_similarities_are_those_of_sqlite_fts(postgres_url, tokenizer, tmp_path, count):
    """To the letter where all that match are ranked; else nearly, for GIN finds by a guess of how often words stand."""
    chunks = [make_chunk(number, text) for number, text in enumerate(sentences(count))]
    fts = SqliteFtsIndex(Site(tmp_path, ""), tokenizer)
    await fts.start()
    await fts.upsert(chunks)
    questions = ["年假", "税率 合同", "backup of the server", "pump seal3 iso-9001 合同", "税", "发票怎样报销 invoice"]
    async with opened(postgres_url, tokenizer) as index:
        await index.upsert(chunks)
        same = 0
        for question in questions:
            found, wanted = await index.search(BASE, question, limit=10), await fts.search(BASE, question, limit=10)
            if count < 100:
                assert found == wanted, question
            same += len(set(found) & set(wanted))
    assert same >= 9 * len(questions), same
    await fts.stop()


async def test_among_is_exact_whatever_the_rest_of_the_base_holds(postgres_url, tokenizer):
    chunks = [make_chunk(number, text) for number, text in enumerate(sentences(900))]
    async with opened(postgres_url, tokenizer, weighed_chunks=50) as index:
        await index.upsert(chunks)
        among = frozenset(chunk.id for chunk in chunks[::7])
        found = await index.search(BASE, "年假 报销", limit=500, among=among)
        holding = [chunk.id for chunk in chunks[::7] if "年假" in chunk.text or "报销" in chunk.text]
        assert {match.id for match in found} == set(holding)


async def test_several_processes_fill_drop_and_search_one_base(postgres_url, tokenizer):
    async with opened(postgres_url, tokenizer) as one, opened(postgres_url, tokenizer) as two:

        async def fill(index: PostgresIndex, first: int) -> None:
            for number in range(first, first + 12):
                await index.upsert([make_chunk(number, "苹果 apple"), make_chunk(500, "梨")])

        async def drop() -> None:
            for _ in range(6):
                await asyncio.sleep(0.02)
                await two.drop(BASE)

        async def look() -> None:
            for _ in range(30):
                assert all(match.similarity == 1 for match in await one.search(BASE, "苹果", limit=50))
                await two.rarity(BASE, "苹果")
                await one.ids(BASE)

        await asyncio.gather(fill(one, 0), fill(two, 100), drop(), look())
        await fill(one, 0)
        await fill(two, 100)
        assert len(await one.ids(BASE)) == 25
        assert await one.rarity(BASE, "苹果") == await two.rarity(BASE, "苹果")
        assert await one.bases() == {BASE}


async def test_rarity_is_counted_in_one_base(postgres_url, tokenizer):
    async with opened(postgres_url, tokenizer) as index:
        await index.upsert([make_chunk(number, "apple pear" if number else "apple plum") for number in range(6)])
        alone = await index.search(BASE, "apple plum", limit=6)
        await index.upsert([make_chunk(number, "plum", OTHER) for number in range(50)])
        assert await index.search(BASE, "apple plum", limit=6) == alone


async def test_a_dropped_base_leaves_no_tables(postgres_url, tokenizer):
    async with opened(postgres_url, tokenizer) as index:
        await index.upsert([make_chunk(0, TEXTS[0])])
        await index.drop(BASE)
        async with index._connections.reading() as connection:
            left = await connection.fetch("SELECT tablename FROM pg_tables WHERE tablename LIKE 'keyword%'")
        assert [row[0] for row in left] == ["keyword_1_bases"]


async def test_only_a_generated_id_becomes_a_table(postgres_url, tokenizer):
    async with opened(postgres_url, tokenizer) as index:
        for name in ("x; DROP TABLE chunks", 'a"b'):
            with pytest.raises(StoreFailed, match="not a generated one"):
                await index.drop(KnowledgeBaseId(name))


async def test_a_single_character_is_found_inside_words(postgres_url, tokenizer):
    async with opened(postgres_url, tokenizer) as index:
        await index.upsert([make_chunk(0, "增值税率"), make_chunk(1, "税务登记"), make_chunk(2, "别的")])
        found = await index.search(BASE, "税", limit=5)
        assert sorted(ids(found)) == [0, 1]
        assert all(match.similarity == 1 for match in found)


async def test_any_text_is_kept(postgres_url, tokenizer):
    hostile = ["'\\' :* & | !", "\0\x1f\x02", "词" * 3000, "x" * 5000, "O'Reilly's c:\\temp a'b", "😀 ﷽", " "]
    async with opened(postgres_url, tokenizer) as index:
        await index.upsert([make_chunk(number, text) for number, text in enumerate(hostile)])
        assert len(await index.ids(BASE)) == len(hostile)
        for text in hostile:
            await index.search(BASE, text, limit=3)
        assert ids(await index.search(BASE, "O'Reilly", limit=1)) == [4]
        assert ids(await index.search(BASE, "x" * 5000, limit=1)) == [3]


async def test_lost_connections_are_replaced(postgres_server, postgres_url, tokenizer):
    async with opened(postgres_url, tokenizer) as index:
        await index.upsert([make_chunk(0, TEXTS[0])])
        for _ in range(2):
            await postgres_server.execute(_ENDED)
            assert ids(await index.search(BASE, "年假", limit=3)) == [0]


async def test_a_server_that_is_absent_is_reported(tokenizer, tmp_path):
    index = PostgresIndex(Site(tmp_path, f"postgresql://me@/x?host={tmp_path}"), tokenizer)
    with pytest.raises(StoreFailed, match="keyword index"):
        await index.start()
    with pytest.raises(StoreFailed, match="not been started"):
        await index.search(BASE, "年假", limit=1)
    await index.stop()


async def test_in_a_large_base_the_rarest_words_look_and_all_words_tell(postgres_url, tokenizer):
    common = [make_chunk(number, f"pump number {number} of the plant") for number in range(40)]
    rare = [
        make_chunk(50, "the compressor of pump hall two has a gasket"),
        make_chunk(51, "a gasket, and nothing else of interest"),
    ]
    async with opened(postgres_url, tokenizer, weighed_chunks=10) as index:
        await index.upsert([*common, *rare])
        found = await index.search(BASE, "Which gasket has the compressor of the pump?", limit=10)
        assert sorted(ids(found)) == [50, 51], "what holds the common word alone is not looked at"
        assert {ids([match])[0]: match.similarity for match in found}[50] == pytest.approx(1.0)
        assert len(await index.search(BASE, "pump of the plant", limit=60)) == 41, "common words alone still find"
