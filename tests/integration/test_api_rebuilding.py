"""POST /knowledge_base/recreate_vector_store: a whole base indexed again, the old index answering meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest

from services.api.domain.knowledge import Vector
from tests.integration.api_bench import BASE, LEAVE, SICK, ApiBench, api_bench, settings_for

PATH = "/knowledge_base/recreate_vector_store"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiBench]:
    """The API over real SQLite, with a base of two files."""
    async with api_bench(settings_for(tmp_path), sqlite=True) as bench:
        await bench.filled()
        yield bench


async def texts(api: ApiBench, query: str) -> list[str]:
    return [found["page_content"] for found in await api.search(query, top_k=20)]


async def test_every_file_is_indexed_again_and_has_its_event(api: ApiBench, tmp_path: Path):
    (tmp_path / BASE / "content" / LEAVE[0]).write_text("员工每年有七天年假。", encoding="utf-8")
    (tmp_path / BASE / "content" / "新.txt").write_text("产假九十八天。", encoding="utf-8")
    (tmp_path / BASE / "content" / "torn.pdf").write_text("no pdf", encoding="utf-8")
    (tmp_path / BASE / "content" / "a.exe").write_text("MZ", encoding="utf-8")
    events = await api.events(PATH, {"knowledge_base_name": BASE}, accept_language="zh-CN")
    done = [event for event in events if event["code"] == 200]
    assert {event["doc"] for event in done} == {LEAVE[0], SICK[0], "新.txt"}
    assert all(event["msg"] == f"({event['finished']} / 5): {event['doc']}" for event in done)
    assert all(set(event) == {"code", "msg", "total", "finished", "doc"} for event in done)
    failed = [event for event in events if event["code"] == 500]
    assert all(set(event) == {"code", "msg"} and event["msg"].endswith("。已跳过。") for event in failed)
    assert sorted(event["msg"].partition("到")[0] for event in failed) == [
        "添加文件‘a.exe’",
        "添加文件‘torn.pdf’",
    ]
    assert (await texts(api, "年假"))[0] == "员工每年有七天年假。"
    assert (await texts(api, "产假"))[0] == "产假九十八天。"


async def test_what_lies_there_no_more_is_told_and_still_found(api: ApiBench, tmp_path: Path):
    (tmp_path / BASE / "content" / LEAVE[0]).unlink()
    events = await api.events(PATH, {"knowledge_base_name": BASE})
    assert [event["code"] for event in events] == [500, 200]
    assert LEAVE[0] in events[0]["msg"]
    assert (events[1]["finished"], events[1]["total"]) == (2, 2)
    assert LEAVE[1] in await texts(api, "年假")


async def test_the_old_index_answers_until_the_new_one_is_whole(api: ApiBench, tmp_path: Path):
    gate, reached, embed = asyncio.Event(), asyncio.Event(), api.embedder.embed_documents

    async def slow(model: str, some: Sequence[str]) -> list[Vector | None]:
        reached.set()
        await gate.wait()
        return await embed(model, some)

    api.embedder.embed_documents = slow  # type: ignore[method-assign,assignment]
    for name, text in ((LEAVE[0], "员工每年有七天年假。"), (SICK[0], "病假不需要证明。")):
        (tmp_path / BASE / "content" / name).write_text(text, encoding="utf-8")
    rebuilding = asyncio.create_task(api.events(PATH, {"knowledge_base_name": BASE}))
    await reached.wait()
    assert LEAVE[1] in await texts(api, "年假")
    assert SICK[1] in await texts(api, "病假")
    gate.set()
    assert [event["finished"] for event in await rebuilding] == [1, 2]
    assert set(await texts(api, "年假 病假")) == {"员工每年有七天年假。", "病假不需要证明。"}


async def test_a_client_that_leaves_ends_nothing(api: ApiBench, tmp_path: Path):
    for number in range(6):
        (tmp_path / BASE / "content" / f"{number}.txt").write_text(f"第{number}条规定。", encoding="utf-8")
    body = {"knowledge_base_name": BASE}
    async with (
        api.live() as url,
        httpx.AsyncClient() as client,
        client.stream("POST", url + PATH, json=body) as answer,
    ):
        await anext(answer.aiter_raw())
    async with asyncio.timeout(20):
        while len(await texts(api, "规定")) < 6:
            await asyncio.sleep(0.05)


async def test_a_new_size_of_passages_is_taken(api: ApiBench):
    await api.upload(("长.txt", "年假五天，需要提前申请。" * 20))
    before = len(await texts(api, "提前申请"))
    await api.events(PATH, {"knowledge_base_name": BASE, "chunk_size": 40, "chunk_overlap": 0})
    assert len(await texts(api, "提前申请")) > before


async def test_an_unknown_base_is_made_or_refused(api: ApiBench, tmp_path: Path):
    refused = await api.post(PATH, {"knowledge_base_name": "new", "allow_empty_kb": False})
    assert refused.json()["code"] == 404
    assert await api.events(PATH, {"knowledge_base_name": "empty"}) == []
    content = tmp_path / "new" / "content"
    content.mkdir(parents=True)
    (content / "a.txt").write_text("婚假三天。", encoding="utf-8")
    (event,) = await api.events(PATH, {"knowledge_base_name": "new"})
    assert event == {"code": 200, "msg": "(1 / 1): a.txt", "total": 1, "finished": 1, "doc": "a.txt"}


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [("embed_model", "bge-large-zh", f"init_database.py -r -n {BASE}"), ("vs_type", "faiss", "milvus")],
)
async def test_another_model_or_store_is_refused(api: ApiBench, field: str, value: str, remedy: str):
    refused = await api.post(PATH, {"knowledge_base_name": BASE, field: value})
    assert refused.json()["code"] == 400
    assert field in refused.json()["msg"]
    assert remedy in refused.json()["msg"]
    same = {"embed_model": "embed", "vs_type": "milvus"}[field]
    assert len(await api.events(PATH, {"knowledge_base_name": BASE, field: same})) == 2
