"""The API with metadata and keyword index in PostgreSQL and the vectors in Milvus Lite: files in, passages out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.integration.api_bench import BASE, LEAVE, SICK, ApiBench, api_bench, settings_for
from tests.integration.test_api_chat import OWNER
from tests.integration.test_api_search import OTHER, two_bases
from tests.postgres import PostgresServer


@pytest.fixture
async def api(tmp_path: Path, postgres_url: str) -> AsyncIterator[ApiBench]:
    """All stores are real; models are not."""
    settings = settings_for(tmp_path, database_url=postgres_url)
    async with api_bench(settings, sqlite=True, vectors="configured") as bench:
        yield bench


@pytest.fixture
async def tables(postgres_server: PostgresServer, postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The same database as another client sees it."""
    database = postgres_url.partition("?")[0].rpartition("/")[2]
    connection = await asyncpg.connect(host=str(postgres_server.folder), user="postgres", database=database)
    yield connection
    await connection.close()


async def count(tables: asyncpg.Connection, base: str = BASE) -> tuple[int, int]:
    """A base's chunks in the metadata, and in the keyword index."""
    id_ = await tables.fetchval("SELECT id FROM knowledge_bases WHERE name = $1", base)
    kept = await tables.fetchval("SELECT count(*) FROM chunks WHERE knowledge_base_id = $1", id_)
    return kept, await tables.fetchval("SELECT chunks FROM keyword_1_bases WHERE base = $1", id_)


async def test_everything_lies_in_postgresql_but_files_and_vectors(api: ApiBench, tables, tmp_path: Path):
    await api.filled()
    assert await count(tables) == (2, 2)
    assert not list(tmp_path.rglob("info.db*"))
    assert (tmp_path / "vectors.milvus").is_dir()


async def test_both_arms_find_in_several_bases_and_say_so(api: ApiBench):
    await two_bases(api)
    body = {"query": "年假有几天", "knowledge_base_name": BASE, "more_knowledge_bases": [OTHER], "top_k": 3}
    answer = (await api.post("/knowledge_base/explain_search", body)).json()["data"]
    arms = {(arm["knowledge_base"], arm["kind"]) for arm in answer["why"]["arms"]}
    assert arms == {(base, kind) for base in (BASE, OTHER) for kind in ("keyword", "dense")}
    found = {(one["metadata"]["knowledge_base"], one["metadata"]["source"]) for one in answer["documents"]}
    assert {(BASE, LEAVE[0]), (OTHER, LEAVE[0])} <= found


@pytest.mark.parametrize(
    ("wanted", "sources"),
    [
        ({"file_name": "设备%"}, {"设备.md"}),
        ({"metadata": {"heading": "阀"}}, {"设备.md"}),
        ({"metadata": {"heading": "阀", "source": LEAVE[0]}}, set()),
        ({"file_name": "没有%"}, set()),
    ],
)
async def test_a_filter_holds_beside_a_query(api: ApiBench, wanted: dict[str, object], sources: set[str]):
    await two_bases(api)
    found = await api.search("年检 年假", base=OTHER, top_k=10, **wanted)
    assert {one["metadata"]["source"] for one in found} == sources


async def test_replaced_and_deleted_files_are_found_no_more(api: ApiBench, tables):
    await api.filled()
    await api.upload((LEAVE[0], "员工食堂供应早餐。"), override="true")
    assert [one["page_content"] for one in await api.search("食堂早餐", top_k=1)] == ["员工食堂供应早餐。"]
    body = {"knowledge_base_name": BASE, "file_names": [SICK[0]], "delete_content": True}
    assert (await api.post("/knowledge_base/delete_docs", body)).json()["code"] == 200
    assert {one["metadata"]["source"] for one in await api.search("病假 医院 食堂", top_k=9)} == {LEAVE[0]}
    assert await count(tables) == (1, 1)


async def test_a_deleted_base_leaves_nothing(api: ApiBench, tables):
    await api.filled()
    assert (await api.post("/knowledge_base/delete_knowledge_base", BASE)).json()["code"] == 200
    assert await tables.fetchval("SELECT count(*) FROM chunks") == 0
    assert await tables.fetchval("SELECT count(*) FROM keyword_1_bases") == 0


async def test_an_answer_cites_and_its_turn_is_kept(api: ApiBench, tables):
    await api.filled()
    thread = (await api.post("/conversations", {"owner": OWNER, "title": "假\0期"})).json()["data"]["id"]
    body = {"query": "年假有几天\0", "knowledge_base_name": BASE, "conversation_id": thread, "stream": False}
    last = (await api.events("/chat/knowledge_base_chat", body))[-1]
    assert {one["file_name"] for one in last["citations"]} >= {LEAVE[0]}
    async with asyncio.timeout(10):
        while (question := await tables.fetchval("SELECT question FROM turns")) is None:
            await asyncio.sleep(0.05)
    assert question == "年假有几天"
    assert await tables.fetchval("SELECT title FROM conversations") == "假期"
