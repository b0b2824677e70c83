"""File chat over HTTP: uploads that are asked about for a while, and by nobody else."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.api.backstage import create_ingest_app
from services.api.bootstrap import Replacements
from services.api.chat.render import NOTHING_FOUND
from services.api.knowledge.vector_stores import VECTOR_STORES
from services.clients.chatchat import AnswerSources, ChatchatClient, FileToUpload, said
from services.foundation.errors import TemporaryFilesNotFound
from services.wire.chatchat import FileChatRequest
from tests.fakes.clock import FrozenClock
from tests.fakes.embedder import FakeEmbedder
from tests.fakes.vector_store import MemoryStore
from tests.integration.api_bench import BASE, LEAVE, SICK, ApiBench, api_bench, events_of, settings_for

ASKED = "员工每年的年假有多少天可以休息呢？"
UNKNOWN = "A" * 32


async def upload(api: ApiBench, *files: tuple[str, str], language: str = "zh-CN", **form: str) -> dict[str, Any]:
    """The envelope of upload_temp_docs."""
    answer = await api.http.post(
        "/knowledge_base/upload_temp_docs",
        files=[("files", (name, text.encode())) for name, text in files],
        data=form,
        headers={"accept-language": language},
    )
    assert answer.status_code == 200, answer.text
    envelope: dict[str, Any] = answer.json()
    return envelope


async def ask(api: ApiBench, ident: str, query: str = ASKED, **more: object) -> list[dict[str, Any]]:
    """The events of file_chat."""
    return await api.events("/chat/file_chat", {"query": query, "knowledge_id": ident, **more})


async def refused(api: ApiBench, ident: str) -> dict[str, Any]:
    """The envelope of a question that file_chat does not take."""
    answer = await api.post("/chat/file_chat", {"query": ASKED, "knowledge_id": ident})
    assert answer.headers["content-type"] == "application/json"
    envelope: dict[str, Any] = answer.json()
    return envelope


async def test_an_upload_answers_in_the_recorded_shape(api: ApiBench):
    envelope = await upload(api, LEAVE, SICK)
    assert list(envelope) == ["code", "msg", "data"]
    assert (envelope["code"], envelope["msg"]) == (200, "success")
    assert list(envelope["data"])[:2] == ["id", "failed_files"]
    assert len(envelope["data"]["id"]) == 32
    assert (envelope["data"]["failed_files"], envelope["data"]["pending_files"]) == ([], [])


async def test_a_question_is_answered_from_the_files_with_citations_and_no_link(api: ApiBench):
    ident = (await upload(api, LEAVE, SICK))["data"]["id"]
    api.model.lines = [["五天[1]。"]]
    (event,) = await ask(api, ident)
    assert event["answer"] == "五天[1]。"
    assert event["docs"][0] == f"出处 [1] [{LEAVE[0]}] \n\n{LEAVE[1]}\n\n"
    cited = event["citations"][0]
    assert (cited["file_name"], cited["excerpt"], cited["url"], cited["knowledge_base"]) == (*LEAVE, "", "")
    assert LEAVE[1] in api.model.prompt()
    assert ident not in json.dumps(event)


async def test_why_tells_no_name_of_the_base(api: ApiBench):
    ident = (await upload(api, LEAVE))["data"]["id"]
    (event,) = await ask(api, ident, explain=True)
    assert {arm["knowledge_base"] for arm in event["why"]["arms"]} == {""}
    assert event["why"]["candidates"][0]["file_name"] == LEAVE[0]
    assert event["why"]["candidates"][0]["knowledge_base"] is None


async def test_files_that_could_not_be_read_are_not_asked(api: ApiBench):
    ident = (await upload(api, ("空.txt", " ")))["data"]["id"]
    envelope = await refused(api, ident)
    assert (envelope["code"], envelope["error"]["code"]) == (409, "temporary.unread")
    assert "尚无可检索的内容" in envelope["msg"]


async def test_streamed_it_ends_with_its_sources(api: ApiBench):
    ident = (await upload(api, LEAVE))["data"]["id"]
    api.model.lines = [["五", "天"]]
    events = await ask(api, ident, stream=True)
    assert [next(iter(event)) for event in events] == ["answer", "answer", "docs"]


async def test_a_turn_is_kept_as_a_file_chat(api: ApiBench):
    opened = (await api.post("/conversations", {"owner": "browser-0123456789"})).json()["data"]["id"]
    ident = (await upload(api, LEAVE))["data"]["id"]
    await ask(api, ident, conversation_id=opened)
    (turn,) = (await api.get(f"/conversations/{opened}")).json()["data"]["turns"]
    assert turn["chat_type"] == "file_chat"
    assert turn["citations"][0]["url"] == ""


@pytest.mark.parametrize("ident", [UNKNOWN, "tmpabcdefgh", "", "../../etc", BASE, "。" * 32])
async def test_an_unknown_id_is_a_named_failure(api: ApiBench, ident: str):
    await upload(api, LEAVE)
    envelope = await refused(api, ident)
    assert (envelope["code"], envelope["data"]) == (404, None)
    assert envelope["msg"].startswith(f"未找到临时知识库 {ident}，请先上传文件")
    assert envelope["error"]["code"] == "temporary.not_found"


async def test_files_are_added_to_those_of_an_id(api: ApiBench):
    ident = (await upload(api, LEAVE))["data"]["id"]
    assert (await upload(api, SICK, prev_id=ident))["data"]["id"] == ident
    assert (await upload(api, ("产假.txt", "产假很长。"), knowledge_id=ident))["data"]["id"] == ident
    found = (await api.get("/knowledge_base/temp_docs", knowledge_id=ident)).json()["data"]
    assert [(file["name"], file["state"]) for file in found["files"]] == [
        ("产假.txt", "indexed"),
        (LEAVE[0], "indexed"),
        (SICK[0], "indexed"),
    ]
    assert (await upload(api, SICK, prev_id=UNKNOWN))["code"] == 404
    assert (await api.get("/knowledge_base/temp_docs", knowledge_id=UNKNOWN)).status_code == 404


async def test_one_bad_file_does_not_harm_the_others_and_says_why(api: ApiBench):
    names = ["../年假.txt", ".hidden.txt", "a\u202ecod.txt", "x.exe", "空.txt", "con.txt"]
    files = [(name, "" if name == "空.txt" else "文字") for name in names]
    found = (await upload(api, *files, LEAVE, language="en"))["data"]
    told = {name: said for failed in found["failed_files"] for name, said in failed.items()}
    assert all(len(failed) == 1 for failed in found["failed_files"])
    assert len(told) == 6
    assert "not supported" in told["x.exe"]
    assert "zero bytes" in told["空.txt"]
    listed = (await api.get("/knowledge_base/temp_docs", knowledge_id=found["id"])).json()["data"]["files"]
    assert [file["name"] for file in listed] == [LEAVE[0]]
    assert (await ask(api, found["id"]))[0]["citations"][0]["file_name"] == LEAVE[0]


async def test_one_name_twice_keeps_the_last(api: ApiBench):
    ident = (await upload(api, ("a.txt", "年假五天。"), ("a.txt", "年假六天。")))["data"]["id"]
    (event,) = await ask(api, ident, "年假")
    assert [cited["excerpt"] for cited in event["citations"]] == ["年假六天。"]


async def test_the_limits_are_told_file_by_file(tmp_path: Path):
    limits = {"files": 2, "limit_mb": 1, "sets": 2}
    async with api_bench(settings_for(tmp_path, temporary=limits)) as api:
        first = await upload(api, LEAVE, ("big.txt", "x" * 1_000_001), SICK)
        assert [list(failed) for failed in first["data"]["failed_files"]] == [["big.txt"]]
        third = await upload(api, ("c.txt", "x"), prev_id=first["data"]["id"])
        assert "最多 2 个文件" in third["data"]["failed_files"][0]["c.txt"]
        assert (await upload(api, LEAVE))["code"] == 200
        full = await upload(api, LEAVE)
        assert (full["code"], full["error"]["code"]) == (429, "temporary.too_many")


async def test_what_expired_is_gone_and_use_had_put_it_off(tmp_path: Path):
    clock = FrozenClock()
    async with api_bench(settings_for(tmp_path), clock=clock) as api:
        ident = (await upload(api, LEAVE))["data"]["id"]
        clock.pass_minutes(119)
        assert (await ask(api, ident))[0]["citations"]
        clock.pass_minutes(119)
        assert (await ask(api, ident))[0]["citations"]
        clock.pass_minutes(120)
        assert (await refused(api, ident))["error"]["code"] == "temporary.not_found"
        assert (await upload(api, SICK, prev_id=ident))["code"] == 404


async def test_it_expires_while_it_is_asked_and_the_answer_ends_well(tmp_path: Path):
    clock = FrozenClock()
    async with api_bench(settings_for(tmp_path), clock=clock) as api:
        ident = (await upload(api, LEAVE))["data"]["id"]
        async with api.live() as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
            body = {"query": ASKED, "knowledge_id": ident, "stream": True}
            async with http.stream("POST", "/chat/file_chat", json=body) as answer:
                text = ""
                async for piece in answer.aiter_text():
                    if not text:
                        clock.pass_minutes(500)
                        gone = await http.post("/knowledge_base/delete_temp_docs", json={"knowledge_id": ident})
                        assert gone.status_code == 404
                    text += piece
        events = events_of(text)
        assert events[-1]["citations"][0]["excerpt"] == LEAVE[1]


async def test_no_other_door_leads_to_the_files(real: ApiBench, tmp_path: Path):
    await real.filled("other")
    ident = (await upload(real, ("geheim.txt", "绝密年假九十九天。")))["data"]["id"]
    (hidden,) = [path.name for path in tmp_path.iterdir() if path.name.startswith(".") and len(path.name) == 33]
    for name in (ident, hidden, hidden.upper(), f"./{hidden}", f"other/../{hidden}"):
        body = {"query": "绝密年假", "knowledge_base_name": name}
        for path in ("/chat/knowledge_base_chat", "/knowledge_base/search_docs", "/knowledge_base/explain_search"):
            answer = await real.post(path, body)
            assert "九十九" not in answer.text
        beside = {"query": "绝密年假", "knowledge_base_name": "other", "more_knowledge_bases": [name]}
        assert "九十九" not in (await real.post("/chat/knowledge_base_chat", beside)).text
        for path in ("list_files", "files", "download_doc"):
            answer = await real.get(f"/knowledge_base/{path}", knowledge_base_name=name, file_name="geheim.txt")
            assert "九十九" not in answer.text
            assert "geheim" not in answer.text or answer.json()["code"] in {400, 404}
        openai = await real.post(
            f"/knowledge_base/local_kb/{name}/chat/completions",
            {"model": "talk", "messages": [{"role": "user", "content": "绝密年假"}]},
        )
        assert openai.status_code in {400, 404}
        deleted = await real.post("/knowledge_base/delete_knowledge_base", name)
        assert deleted.json()["code"] in {400, 404}
    assert "九十九" not in (await real.post("/chat/file_chat", {"query": "绝密", "knowledge_id": UNKNOWN})).text
    for path in ("list_knowledge_bases", "details"):
        listed = (await real.get(f"/knowledge_base/{path}")).text
        assert "other" in listed
        assert hidden not in listed
    assert "九十九" in (await ask(real, ident, "绝密年假"))[0]["docs"][0]


async def test_a_deleted_id_is_forgotten_and_nothing_lies_about(real: ApiBench, tmp_path: Path):
    ident = (await upload(real, LEAVE))["data"]["id"]
    before = {path.name for path in tmp_path.iterdir()}
    assert (await real.post("/knowledge_base/delete_temp_docs", {"knowledge_id": ident})).status_code == 200
    assert {len(name) for name in before - {path.name for path in tmp_path.iterdir()}} == {33}
    assert (await refused(real, ident))["code"] == 404
    again = await real.post("/knowledge_base/delete_temp_docs", {"knowledge_id": ident})
    assert (again.status_code, again.json()["error"]["code"]) == (404, "temporary.not_found")


async def test_it_outlives_the_process(tmp_path: Path):
    settings, clock = settings_for(tmp_path), FrozenClock()
    async with api_bench(settings, sqlite=True, clock=clock) as api:
        ident = (await upload(api, LEAVE))["data"]["id"]
        gone = (await upload(api, SICK))["data"]["id"]
        clock.pass_minutes(100)
        await ask(api, ident)
    clock.pass_minutes(50)
    async with api_bench(settings, sqlite=True, clock=clock) as api:
        assert (await ask(api, ident))[0]["citations"][0]["excerpt"] == LEAVE[1]
        assert (await refused(api, gone))["code"] == 404
        async with asyncio.timeout(10):
            while len([path for path in tmp_path.iterdir() if len(path.name) == 33]) > 1:
                await asyncio.sleep(0.05)


async def test_the_first_ingest_process_deletes_what_expired(tmp_path: Path):
    clock, vectors, settings = FrozenClock(), MemoryStore(), settings_for(tmp_path)
    async with api_bench(settings, sqlite=True, clock=clock, vectors=vectors) as api:
        await api.filled()
        await upload(api, LEAVE)
        assert len(await vectors.bases()) == 2
    clock.pass_minutes(120)
    replace = Replacements(vectors=vectors, embedder=FakeEmbedder(), clock=clock)
    for number, left in ((2, 2), (1, 1)):
        app = create_ingest_app(settings, number=number, replace=replace)
        async with app.router.lifespan_context(app), asyncio.timeout(20):
            await asyncio.sleep(0.5 if number == 2 else 0)
            while len(await vectors.bases()) != left:
                await asyncio.sleep(0.05)
    async with api_bench(settings, sqlite=True, clock=clock, vectors=vectors) as api:
        assert (await api.search("年假"))[0]["page_content"] == LEAVE[1]


async def test_the_vectors_of_what_expired_are_gone_from_milvus_lite(tmp_path: Path):
    clock = FrozenClock()
    vectors = VECTOR_STORES.build("milvus", tmp_path / "vectors.milvus", {})
    async with api_bench(settings_for(tmp_path), sqlite=True, clock=clock, vectors=vectors) as api:
        ident = (await upload(api, LEAVE))["data"]["id"]
        (base,) = await vectors.bases()
        assert len(await vectors.ids(base)) == 1
        assert (await ask(api, ident))[0]["citations"][0]["excerpt"] == LEAVE[1]
        assert (await api.post("/knowledge_base/delete_temp_docs", {"knowledge_id": ident})).status_code == 200
        assert await vectors.bases() == set()
        await upload(api, LEAVE)
    clock.pass_minutes(120)
    again = VECTOR_STORES.build("milvus", tmp_path / "vectors.milvus", {})
    async with api_bench(settings_for(tmp_path), sqlite=True, clock=clock, vectors=again):
        async with asyncio.timeout(10):
            while await again.bases():
                await asyncio.sleep(0.05)


async def test_the_client_uploads_asks_and_deletes(api: ApiBench):
    def talk(url: str) -> tuple[str, ...]:
        client = ChatchatClient(url, timeout_seconds=10, language="en")
        first = client.upload_temporary([FileToUpload(LEAVE[0], io.BytesIO(LEAVE[1].encode()))])
        broken = FileToUpload("x.exe", io.BytesIO(b"x"))
        second = client.upload_temporary(
            [FileToUpload(SICK[0], io.BytesIO(SICK[1].encode())), broken], previous=first.id
        )
        assert second.id == first.id
        assert "not supported" in second.failed_files[0]["x.exe"]
        names = tuple(file.name for file in client.temporary_files(first.id).files)
        *_, sources = client.answer(FileChatRequest(query=ASKED, knowledge_id=first.id))
        assert isinstance(sources, AnswerSources)
        assert sources.citations[0].excerpt == LEAVE[1]
        client.delete_temporary(first.id)
        with pytest.raises(TemporaryFilesNotFound) as gone:
            list(client.answer(FileChatRequest(query=ASKED, knowledge_id=first.id)))
        assert "Upload them again" in str(said(gone.value))
        client.close()
        return names

    async with api.live() as url:
        assert await asyncio.to_thread(talk, url) == (LEAVE[0], SICK[0])


async def test_a_question_nothing_answers_is_told_so(api: ApiBench):
    ident = (await upload(api, LEAVE))["data"]["id"]
    (event,) = await ask(api, ident, "zebra crossing", score_threshold=0.1)
    assert (event["docs"], event["citations"]) == ([NOTHING_FOUND], [])


@pytest.mark.parametrize("wrong", [{"temperature": 1.1}, {"score_threshold": 2.1}, {"top_k": 0}, {"knowledge_id": 3}])
async def test_malformed_questions_are_422(api: ApiBench, wrong: dict[str, object]):
    answer = await api.post("/chat/file_chat", {"query": "x", "knowledge_id": UNKNOWN, **wrong})
    assert answer.status_code == 422
    assert (await api.http.post("/knowledge_base/upload_temp_docs", data={})).status_code == 422
