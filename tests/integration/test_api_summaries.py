"""Summaries over HTTP: of a file, of a base, of chosen passages; kept, listed, cancelled, and failing."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.api.domain.answering import Finished, ModelRequest, Token
from services.clients.chatchat import ChatchatClient, FileSummarised, FileToUpload, said
from services.foundation.errors import EngineFailed, FileNotInBase, KnowledgeBaseNotFound
from services.wire.chatchat import SearchRequest, SummariseBase, SummariseChunks, SummariseFile
from services.wire.openai import ChatCompletionRequest
from services.worker.engines.base import EngineSpec
from services.worker.engines.extractive.engine import ExtractiveEngine
from tests.integration.api_bench import BASE, LEAVE, SICK, ApiBench, api_bench, events_of, settings_for

PREFIX = "/knowledge_base/kb_summary_api"
FILE, WHOLE = f"{PREFIX}/summary_file_to_vector_store", f"{PREFIX}/recreate_summary_vector_store"
CHUNKS = f"{PREFIX}/summary_doc_ids_to_vector_store"


def of(file: str = LEAVE[0], **more: object) -> dict[str, object]:
    return {"knowledge_base_name": BASE, "file_name": file, **more}


async def listed(api: ApiBench) -> dict[str, Any]:
    """The summaries in the listing of the base, by file."""
    found = (await api.get("/knowledge_base/files", knowledge_base_name=BASE)).json()["data"]
    return {file["name"]: file["summary"] for file in found}


async def test_a_file_is_summarised_and_its_summary_is_listed_with_it(real: ApiBench):
    await real.filled()
    real.model.lines = [["讲", "年假。"]]
    (event,) = await real.events(FILE, of(file_description="员工手册", temperature=0.1, max_tokens=50))
    assert list(event) == ["code", "msg", "doc", "summary"]
    assert (event["code"], event["msg"], event["doc"]) == (200, f"{LEAVE[0]} 总结完成", LEAVE[0])
    assert (event["summary"]["text"], event["summary"]["model"], event["summary"]["kind"]) == (
        "讲年假。",
        "talk",
        "quoted",
    )
    assert await listed(real) == {LEAVE[0]: event["summary"], SICK[0]: None}
    assert LEAVE[1] in real.model.prompt()
    assert "员工手册" in real.model.prompt()
    assert (real.model.requests[0].sampling.temperature, real.model.requests[0].sampling.max_tokens) == (0.1, 50)


async def test_a_summary_outlives_the_process_and_not_its_version(tmp_path: Path):
    async with api_bench(settings_for(tmp_path), sqlite=True) as api:
        await api.filled()
        api.model.lines = [["旧"]]
        await api.events(FILE, of())
    async with api_bench(settings_for(tmp_path), sqlite=True) as api:
        assert (await listed(api))[LEAVE[0]]["text"] == "旧"
        await api.upload((LEAVE[0], "年假改为六天。"), override="true")
        assert (await listed(api))[LEAVE[0]] is None


async def test_a_base_is_summarised_file_by_file_and_one_failure_stops_no_other(api: ApiBench):
    await api.filled()
    await api.upload(("产假.txt", "产假很长。"))
    api.model.lines = [["甲"], [EngineFailed(model="talk", reason="x")], ["丙"]]
    events = await api.events(WHOLE, {"knowledge_base_name": BASE})
    assert [event["code"] for event in events] == [200, 500, 200]
    first, failed, last = events
    assert list(first) == ["code", "msg", "total", "finished", "doc", "summary"]
    assert (first["msg"], first["total"], first["finished"]) == (f"(1 / 3): {first['doc']}", 3, 1)
    assert last["finished"] == 3
    assert failed["msg"].startswith(f"知识库'{BASE}'总结文件‘{failed['doc']}’时出错：")
    assert failed["msg"].endswith("。已跳过。")
    assert failed["error"]["code"] == "model.engine_failed"
    summaries = await listed(api)
    assert (summaries[first["doc"]]["text"], summaries[failed["doc"]], summaries[last["doc"]]["text"]) == (
        "甲",
        None,
        "丙",
    )


async def test_an_old_summary_stays_where_the_new_one_fails(api: ApiBench):
    await api.filled()
    api.model.lines = [["旧"], [EngineFailed(model="talk", reason="x")], ["新"]]
    await api.events(FILE, of())
    assert (await api.events(FILE, of()))[0]["code"] == 500
    assert (await listed(api))[LEAVE[0]]["text"] == "旧"
    await api.events(FILE, of())
    assert (await listed(api))[LEAVE[0]]["text"] == "新"


async def test_passages_are_summarised_by_their_ids_and_nothing_is_kept(api: ApiBench):
    await api.filled()
    ids = [hit["id"] for hit in await api.search("年假 病假")]
    api.model.lines = [["年假和病假。"]]
    answer = await api.post(CHUNKS, {"knowledge_base_name": BASE, "doc_ids": ids, "file_description": "手册"})
    assert answer.json() == {
        "code": 200,
        "msg": "总结完成",
        "data": {
            "summarize": [
                {
                    "page_content": "年假和病假。",
                    "metadata": {
                        "file_description": "手册",
                        "summary_intermediate_steps": {"intermediate_steps": []},
                        "doc_ids": ",".join(ids),
                        "kind": "quoted",
                    },
                    "type": "Document",
                }
            ]
        },
    }
    assert set((await listed(api)).values()) == {None}


async def test_what_is_not_there_is_named(api: ApiBench):
    await api.filled()
    await api.upload(("later.txt", "还没有。"), to_vector_store="false")
    unknown = (await api.post(CHUNKS, {"knowledge_base_name": "无此", "doc_ids": ["a"]})).json()
    assert (unknown["code"], unknown["data"]) == (404, {})
    assert unknown["msg"].startswith("未找到知识库 无此")
    for ids in ([], ["f" * 32], ["x"]):
        answer = (await api.post(CHUNKS, {"knowledge_base_name": BASE, "doc_ids": ids})).json()
        assert (answer["code"], answer["error"]["facts"]["field"]) == (400, "doc_ids")
    (event,) = await api.events(FILE, of("无此.txt"))
    assert (event["code"], event["error"]["code"], event["doc"]) == (500, "file.not_found", "无此.txt")
    (event,) = await api.events(FILE, of("later.txt"))
    assert (event["code"], event["error"]["code"]) == (500, "summary.impossible")
    for name in ("../年假.txt", "", ".x"):
        assert (await api.post(FILE, of(name))).json()["error"]["code"] == "name.invalid"
    assert (await api.post(FILE, {**of(), "knowledge_base_name": "无此"})).json()["code"] == 404
    assert await api.events(WHOLE, {"knowledge_base_name": "无此"}) == []
    refused = await api.post(WHOLE, {"knowledge_base_name": "无此", "allow_empty_kb": False})
    assert (refused.json()["code"], refused.headers["content-type"]) == (404, "application/json")
    assert (await api.post(FILE, of(temperature=1.5))).status_code == 422
    assert not api.model.requests


async def test_a_model_that_says_nothing_makes_no_summary(api: ApiBench):
    await api.filled()
    api.model.lines = [[" "]]
    (event,) = await api.events(FILE, of())
    assert (event["code"], event["error"]["code"]) == (500, "summary.impossible")
    assert (await listed(api))[LEAVE[0]] is None


async def test_a_client_that_leaves_stops_the_summary_and_keeps_what_was_done(api: ApiBench):
    await api.filled()
    api.model.lines = [["甲"], ["乙", asyncio.Event()]]
    async with api.live() as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
        async with http.stream("POST", WHOLE, json={"knowledge_base_name": BASE}) as answer:
            first = await anext(answer.aiter_text())
            async with asyncio.timeout(5):
                while len(api.model.requests) < 2:
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            await api.model.broken_off.wait()
        done = events_of(first)[0]["doc"]
        summaries = await listed(api)
    assert {name for name, summary in summaries.items() if summary} == {done}
    assert len(api.model.requests) == 2


async def test_a_file_that_is_deleted_meanwhile_gets_no_summary(api: ApiBench):
    await api.filled()
    gate = asyncio.Event()
    api.model.lines = [["甲", gate]]
    asked = asyncio.create_task(api.events(FILE, of()))
    while not api.model.requests:
        await asyncio.sleep(0.01)
    await api.post("/knowledge_base/delete_docs", {"knowledge_base_name": BASE, "file_names": [LEAVE[0]]})
    gate.set()
    (event,) = await asked
    assert (event["code"], event["error"]["code"]) == (500, "file.not_found")


class QuotingModel:
    """The built-in engine as a chat model, without the services between."""

    def __init__(self) -> None:
        self._engine = ExtractiveEngine(EngineSpec("extractive", {}, 4096, Path(), "http://127.0.0.1:9", None, 5.0))

    async def stream(self, request: ModelRequest) -> AsyncIterator[Token | Finished]:
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        body = ChatCompletionRequest.model_validate({"model": request.model, "messages": messages})
        async for chunk in self._engine.chat(body):
            for choice in chunk.choices:
                yield Token(choice.delta.content or "")
        yield Finished("stop")


ENGLISH = "The handbook covers annual leave. Annual leave is ten days a year. The canteen opens at noon. " + " ".join(
    f"Rule {number} of the handbook limits annual leave of group {number}." for number in range(300)
)
CHINESE = "本手册规定带薪年假。员工每年享有十天带薪年假。食堂中午开放。" + "".join(
    f"第{number}组员工的带薪年假由手册第{number}条限制。" for number in range(300)
)


@pytest.mark.parametrize(("text", "word"), [(ENGLISH, "annual leave"), (CHINESE, "带薪年假")])
async def test_the_built_in_model_quotes_a_long_file_and_it_is_said(tmp_path: Path, text: str, word: str):
    settings = settings_for(tmp_path, answering={"context_tokens": 1024, "group_tokens": 500})
    async with api_bench(settings, answers=QuotingModel()) as api:
        await api.create()
        assert (await api.upload(("手册.txt", text)))["data"] == {"failed_files": {}}
        (event,) = await api.events(FILE, of("手册.txt"))
        summary = event["summary"]
        assert summary["kind"] == "quoted"
        sentences = summary["text"].replace(". ", ".|").replace("。", "。|").strip("|").split("|")
        assert 2 <= len(sentences) <= 5
        assert all(sentence in text for sentence in sentences)
        assert sum(word in sentence.lower() for sentence in sentences) >= 2


async def test_the_client_has_files_bases_and_passages_summarised(api: ApiBench):
    def talk(url: str) -> list[FileSummarised]:
        client = ChatchatClient(url, timeout_seconds=10, language="en")
        client.upload(BASE, FileToUpload("a.txt", io.BytesIO("年假五天。".encode())), override=False)
        one = client.summarise_file(SummariseFile(knowledge_base_name=BASE, file_name="a.txt"))
        assert one.summary is not None
        assert (one.file, one.summary.text) == ("a.txt", "一")
        missing = client.summarise_file(SummariseFile(knowledge_base_name=BASE, file_name="b.txt"))
        assert isinstance(missing.failure, FileNotInBase)
        assert "holds no file" in str(said(missing.failure))
        done = list(client.summarise_base(SummariseBase(knowledge_base_name=BASE)))
        with pytest.raises(KnowledgeBaseNotFound):
            list(client.summarise_base(SummariseBase(knowledge_base_name="无此", allow_empty_kb=False)))
        ids = [str(chunk.id) for chunk in client.search(SearchRequest(query="年假", knowledge_base_name=BASE))]
        assert client.summarise_chunks(SummariseChunks(knowledge_base_name=BASE, doc_ids=ids)) == "三"
        assert client.files(BASE)[0].summary == done[0].summary
        client.close()
        return done

    await api.create()
    api.model.lines = [["一"], ["二"], ["三"]]
    async with api.live() as url:
        (done,) = await asyncio.to_thread(talk, url)
    assert (done.file, done.finished, done.total) == ("a.txt", 1, 1)
    assert done.summary is not None
    assert done.summary.text == "二"
