"""What the contract does not say about SqliteFtsIndex: its file, its life and its failures."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from services.api.domain.knowledge import KnowledgeBaseId
from services.api.knowledge.text_index.site import Site
from services.api.knowledge.text_index.sqlite_fts import SqliteFtsIndex
from services.api.knowledge.text_index.tokens import Tokenizer
from services.api.storage.database import SqlStorage
from services.foundation.errors import StoreFailed
from tests.contract.storage import make_base
from tests.contract.text_index import BASE, OTHER, TEXTS, ids, make_chunk


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    made = Tokenizer()
    made.load()
    return made


@pytest.fixture
async def index(tmp_path, tokenizer):
    made = SqliteFtsIndex(Site(tmp_path / "new", ""), tokenizer)
    await made.start()
    yield made
    await made.stop()


async def test_it_shares_the_file_with_the_metadata(tmp_path, tokenizer):
    path = tmp_path / "info.db"
    storage, index = SqlStorage(f"sqlite+aiosqlite:///{path}"), SqliteFtsIndex(Site(tmp_path, ""), tokenizer)
    await storage.start()
    await index.start()
    await index.upsert([make_chunk(0, TEXTS[0])])
    async with storage.begin() as work:
        await work.knowledge_bases.add(make_base())
        assert ids(await index.search(BASE, "年假", limit=3)) == [0]
    await index.upsert([make_chunk(1, TEXTS[1])])
    await index.stop()
    await storage.stop()
    again = SqliteFtsIndex(Site(tmp_path, ""), tokenizer)
    await again.start()
    assert len(await again.ids(BASE)) == 2
    assert ids(await again.search(BASE, "发票", limit=3)) == [1]
    await again.stop()


async def test_a_dropped_base_leaves_no_tables(tmp_path, index):
    await index.upsert([make_chunk(0, TEXTS[0])])
    await index.drop(BASE)
    with closing(sqlite3.connect(tmp_path / "new" / "info.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert not [name for name in tables if BASE in name]


async def test_only_a_generated_id_becomes_a_table(index):
    with pytest.raises(StoreFailed, match="not a generated one"):
        await index.drop(KnowledgeBaseId("x; DROP TABLE chunks"))


async def test_a_single_character_is_found_inside_words(index):
    await index.upsert([make_chunk(0, "增值税率"), make_chunk(1, "税务登记"), make_chunk(2, "别的")])
    found = await index.search(BASE, "税", limit=5)
    assert sorted(ids(found)) == [0, 1]
    assert all(match.similarity == 1 for match in found)


async def test_a_word_cut_differently_in_the_chunk_still_counts(index):
    await index.upsert([make_chunk(0, "中国人民大学附属中学招生"), make_chunk(1, "大学食堂")])
    assert (await index.search(BASE, "民大附属中学", limit=1))[0].similarity == pytest.approx(1)


async def test_rarity_is_counted_in_one_base(index):
    await index.upsert([make_chunk(number, "apple pear" if number else "apple plum") for number in range(6)])
    alone = await index.search(BASE, "apple plum", limit=6)
    await index.upsert([make_chunk(number, "plum", OTHER) for number in range(50)])
    assert await index.search(BASE, "apple plum", limit=6) == alone


async def test_a_file_that_is_no_database_is_reported(tmp_path, tokenizer):
    path = tmp_path / "info.db"
    path.write_text("this is not a database" * 100)
    broken = SqliteFtsIndex(Site(tmp_path, ""), tokenizer)
    with pytest.raises(StoreFailed, match="keyword index"):
        await broken.start()
    await broken.stop()


async def test_an_index_that_was_not_started_says_so(tmp_path, tokenizer):
    with pytest.raises(StoreFailed, match="not been started"):
        await SqliteFtsIndex(Site(tmp_path, ""), tokenizer).search(BASE, "年假", limit=1)


async def test_in_a_large_base_the_rarest_words_look_and_all_words_tell(tmp_path, tokenizer):
    index = SqliteFtsIndex(Site(tmp_path, ""), tokenizer, weighed_chunks=10)
    await index.start()
    common = [make_chunk(number, f"pump number {number} of the plant") for number in range(40)]
    rare = [
        make_chunk(50, "the compressor of pump hall two has a gasket"),
        make_chunk(51, "a gasket, and nothing else of interest"),
    ]
    await index.upsert([*common, *rare])
    found = await index.search(BASE, "Which gasket has the compressor of the pump?", limit=10)
    assert sorted(ids(found)) == [50, 51], "what holds the common word alone is not looked at"
    scores = {ids([match])[0]: match.similarity for match in found}
    assert scores[50] == pytest.approx(1.0)
    assert scores[51] < 0.6, "the common word counts all the same"
    assert len(await index.search(BASE, "pump of the plant", limit=60)) == 41, "common words alone still find"
    await index.stop()


async def test_tables_of_a_former_way_to_cut_text_go(tmp_path, tokenizer):
    path = tmp_path / "info.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE VIRTUAL TABLE keyword_1_{BASE} USING fts5(words, bigrams)")
        connection.execute(f"CREATE VIRTUAL TABLE keyword_1_{BASE}_vocabulary USING fts5vocab(keyword_1_{BASE}, col)")
        connection.execute("CREATE TABLE keyword_1_rows (row INTEGER PRIMARY KEY, base TEXT, chunk TEXT)")
        connection.execute("CREATE TABLE keyword_notes (text TEXT)")
        connection.commit()
    index = SqliteFtsIndex(Site(tmp_path, ""), tokenizer)
    await index.start()
    await index.upsert([make_chunk(0, TEXTS[0])])
    await index.stop()
    again = SqliteFtsIndex(Site(tmp_path, ""), tokenizer)
    await again.start()
    assert ids(await again.search(BASE, "年假", limit=3)) == [0]
    await again.stop()
    with closing(sqlite3.connect(path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert not [name for name in tables if name.startswith("keyword_1_")]
    assert "keyword_notes" in tables
