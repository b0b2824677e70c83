"""The API as an app: its own paths, who is let in, how much, and what outlives it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from services.api.app import create_app
from services.api.chat.memory import MEMORIES
from services.api.chat.strategies import STRATEGIES
from services.foundation.access import LinkSigner
from services.foundation.settings.tree import Endpoint, Preset
from tests.integration.api_bench import BASE, LEAVE, SICK, ApiBench, api_bench, settings_for
from tests.live import free_port, serve


async def test_unknown_fields_are_ignored_and_malformed_bodies_are_422(api: ApiBench):
    body = {"knowledge_base_name": BASE, "zh_title_enhance": True, "not_refresh_vs_cache": False}
    assert (await api.post("/knowledge_base/create_knowledge_base", body)).json()["code"] == 200
    assert len((await api.upload(LEAVE, docs="{}", zh_title_enhance="false"))["data"]) == 1
    for path, wrong in (
        ("/knowledge_base/create_knowledge_base", {}),
        ("/knowledge_base/create_knowledge_base", {"knowledge_base_name": 3}),
        ("/knowledge_base/search_docs", {"query": "x", "knowledge_base_name": BASE, "score_threshold": 2.1}),
        ("/knowledge_base/search_docs", {"query": "x", "knowledge_base_name": BASE, "top_k": 0}),
        ("/knowledge_base/delete_docs", {"knowledge_base_name": BASE, "file_names": []}),
    ):
        answer = await api.post(path, wrong)
        assert answer.status_code == 422, path
        assert answer.json()["detail"][0]["loc"][0] == "body"
    broken = await api.http.post(
        "/knowledge_base/search_docs", content=b"{", headers={"content-type": "application/json"}
    )
    assert broken.status_code == 422
    assert (await api.http.post("/knowledge_base/upload_docs", data={"knowledge_base_name": BASE})).status_code == 422


async def test_the_apps_own_paths(api: ApiBench):
    root = await api.get("/")
    assert (root.status_code, root.headers["location"]) == (307, "/docs")
    health = (await api.get("/healthz")).json()
    assert (health["status"], health["service"]) == ("ok", "api")
    described = (await api.get("/openapi.json")).json()
    assert described["info"]["title"] == "Langchain-Chatchat API Server"
    assert {"/chat/chat", "/chat/knowledge_base_chat", "/knowledge_base/upload_docs"} <= set(described["paths"])
    assert (await api.get("/nowhere")).json() == {"code": 404, "msg": "Not Found", "data": None}
    assert (await api.get("/nowhere")).status_code == 404
    assert (await api.get("/chat/chat")).status_code == 405


async def test_before_its_stores_are_open_the_api_says_it_starts(tmp_path: Path):
    app = create_app(settings_for(tmp_path))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as http:
        answer = await http.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (503, "starting")
    assert list(tmp_path.iterdir()) == []


async def test_with_access_keys_only_those_who_show_one_are_let_in(tmp_path: Path):
    settings = settings_for(tmp_path, server={"access_keys": ("right-key-0123456789",)})
    async with api_bench(settings) as api:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"x-api-key": "wrong"}):
            answer = await api.http.get("/knowledge_base/list_knowledge_bases", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, 401)
            assert answer.json()["error"]["code"] == "access.unauthenticated"
        for headers in ({"authorization": "Bearer right-key-0123456789"}, {"x-api-key": "right-key-0123456789"}):
            assert (await api.http.get("/knowledge_base/list_knowledge_bases", headers=headers)).status_code == 200
        assert (await api.get("/healthz")).status_code == 200
        assert (await api.get("/docs")).status_code == 401


async def test_with_access_keys_a_signed_link_opens_the_file_it_was_made_for(tmp_path: Path):
    key = "right-key-0123456789"
    async with api_bench(settings_for(tmp_path, server={"access_keys": (key,)})) as api:
        api.http.headers["x-api-key"] = key
        await api.create()
        await api.upload(LEAVE)
        del api.http.headers["x-api-key"]
        asked = urlencode({"knowledge_base_name": BASE, "file_name": LEAVE[0]})
        link = f"/knowledge_base/download_doc?{asked}"
        signed = LinkSigner(SecretStr(key)).sign(link)
        assert (await api.http.get(link)).status_code == 401
        opened = await api.http.get(signed)
        assert (opened.status_code, opened.text) == (200, LEAVE[1])
        assert (await api.http.get(signed.replace("download_doc", "list_files"))).status_code == 401


async def test_a_file_over_the_limit_is_named_and_nothing_of_it_is_kept(tmp_path: Path):
    async with api_bench(settings_for(tmp_path, file_limit_bytes=100)) as api:
        await api.create()
        failed = (await api.upload(LEAVE, ("big.txt", "x" * 101)))["data"]["failed_files"]
        assert list(failed) == ["big.txt"]
        assert "100" in failed["big.txt"]
        assert [path.name for path in (tmp_path / BASE / "content").iterdir()] == [LEAVE[0]]


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
async def test_a_body_over_the_limit_is_a_true_413(tmp_path: Path, declared: bool):
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield b" " * 1_000_000

    async with api_bench(settings_for(tmp_path, file_limit_bytes=1)) as api:
        content = b" " * 12_000_000 if declared else pieces()
        answer = await api.http.post(
            "/knowledge_base/search_docs", content=content, headers={"content-type": "application/json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (413, 413)
        assert (await api.get("/healthz")).status_code == 200


async def test_what_nobody_foresaw_is_an_envelope_without_a_trace(api: ApiBench, tmp_path: Path):
    await api.filled()
    api.embedder.embed_query = None  # type: ignore[method-assign, assignment]
    answer = await api.post("/knowledge_base/search_docs", {"query": "年假", "knowledge_base_name": BASE})
    assert answer.json()["code"] == 500
    assert "Traceback" not in answer.text
    assert str(tmp_path) not in answer.text


async def test_data_outlive_the_process(tmp_path: Path):
    async with api_bench(settings_for(tmp_path), sqlite=True) as api:
        await api.filled()
    async with api_bench(settings_for(tmp_path), sqlite=True) as api:
        assert (await api.get("/knowledge_base/list_files", knowledge_base_name=BASE)).json()["data"] == [
            LEAVE[0],
            SICK[0],
        ]
        assert (await api.search("年假"))[0]["page_content"] == LEAVE[1]


async def test_what_a_question_may_choose_by_name_is_listed_and_taken(tmp_path: Path):
    presets = {"brief": Preset(top_k=1, temperature=0.1), "free": Preset()}
    async with api_bench(settings_for(tmp_path).model_copy(update={"presets": presets})) as api:
        offered = (await api.get("/server/answering")).json()["data"]
        assert offered["presets"][0] == {
            "name": "brief", "temperature": 0.1, "history_turns": None, "top_k": 1, "repetition_penalty": None,
        }  # fmt: skip
        assert (offered["strategy"], offered["memory"], offered["when_nothing_found"]) == ("auto", "window", "free")
        assert (offered["strategies"], offered["memories"]) == (list(STRATEGIES), list(MEMORIES))
        await api.filled()
        for field, names in (("preset", ["brief", "free"]), ("when_nothing_found", offered["policies"])):
            for name in names:
                asked = {"query": "年假", "knowledge_base_name": BASE, field: name}
                assert '"citations"' in (await api.post("/chat/knowledge_base_chat", asked)).text


async def test_models_are_listed_with_whether_they_run(tmp_path: Path):
    gateway, port = FastAPI(), free_port()

    @gateway.get("/v1/models")
    async def _models() -> dict[str, object]:
        return {"object": "list", "data": [{"id": "talk", "object": "model"}]}

    settings = settings_for(tmp_path, server={"gateway": Endpoint(port=port)})
    async with api_bench(settings) as api:
        down = await api.get("/models")
        assert (down.status_code, down.json()["error"]["code"]) == (503, "service.unreachable")
        async with serve(gateway, port):
            answer = await api.get("/models")
    assert answer.json() == {
        "code": 200,
        "msg": "success",
        "data": [
            {"name": "talk", "task": "chat", "engine": "extractive", "running": True, "is_default": True},
            {
                "name": "embed",
                "task": "embedding",
                "engine": "sentence_transformers",
                "running": False,
                "is_default": True,
            },
        ],
    }
