"""The API over HTTP, fakes behind it: knowledge bases and files, in the shapes of 0.2.10 and in our own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.integration.api_bench import BASE, LEAVE, SICK, ApiBench

# ---- bases ----


async def test_envelopes_are_compact_unescaped_and_in_order(api: ApiBench):
    assert (await api.get("/knowledge_base/list_knowledge_bases")).content == b'{"code":200,"msg":"success","data":[]}'
    made = await api.post("/knowledge_base/create_knowledge_base", {"knowledge_base_name": BASE})
    assert made.content == '{"code":200,"msg":"已新增知识库 政策","data":null}'.encode()
    assert made.headers["content-type"] == "application/json"
    await api.create("Zoo")
    listed = await api.get("/knowledge_base/list_knowledge_bases")
    assert sorted(listed.json()["data"]) == ["Zoo", "政策"]
    deleted = await api.post("/knowledge_base/delete_knowledge_base", BASE)
    assert deleted.content == '{"code":200,"msg":"成功删除知识库 政策","data":null}'.encode()
    assert (await api.get("/knowledge_base/list_knowledge_bases")).json()["data"] == ["Zoo"]


@pytest.mark.parametrize(
    ("body", "code", "failure"),
    [
        ({"knowledge_base_name": "zoo"}, 409, "knowledge_base.exists"),
        ({"knowledge_base_name": "../zoo"}, 400, "name.invalid"),
        ({"knowledge_base_name": " "}, 400, "name.invalid"),
        ({"knowledge_base_name": "x", "embed_model": "nowhere"}, 404, "model.unknown"),
        ({"knowledge_base_name": "x", "vector_store_type": "nowhere"}, 400, "variant.unknown"),
    ],
)
async def test_a_refusal_on_an_old_path_is_200_with_the_code_inside(api: ApiBench, body, code: int, failure: str):
    await api.create("Zoo")
    answer = await api.post("/knowledge_base/create_knowledge_base", body)
    said = answer.json()
    assert answer.status_code == 200
    assert list(said) == ["code", "msg", "data", "error"]
    assert (said["code"], said["data"], said["error"]["code"]) == (code, None, failure)
    assert said["error"]["request_id"] == answer.headers["x-request-id"]


async def test_a_client_hears_its_language(api: ApiBench):
    said = {}
    for language in ("en-GB,en;q=0.9", "zh-TW", "fr", ""):
        answer = await api.post("/knowledge_base/delete_knowledge_base", "无此库", Accept_Language=language)
        assert (answer.status_code, answer.json()["code"]) == (200, 404)
        said[language] = answer.json()["msg"]
    assert said["en-GB,en;q=0.9"].startswith("There is no knowledge base named '无此库'.")
    assert said["zh-TW"].startswith("未找到知识库 无此库")
    assert said["fr"] == said[""] == said["zh-TW"]


async def test_deleting_takes_a_bare_json_string(api: ApiBench):
    await api.create()
    for wrong in ({"knowledge_base_name": BASE}, ["政策"], 3):
        assert (await api.post("/knowledge_base/delete_knowledge_base", wrong)).status_code == 422
    assert (await api.post("/knowledge_base/delete_knowledge_base", BASE)).json()["code"] == 200


async def test_a_deleted_base_leaves_nothing_on_disk(real: ApiBench, tmp_path: Path):
    await real.filled()
    assert (tmp_path / BASE / "content" / LEAVE[0]).is_file()
    await real.post("/knowledge_base/delete_knowledge_base", BASE)
    assert not [path for path in tmp_path.iterdir() if path.is_dir() and path.name != ".cache"]
    await real.create()
    assert await real.search("年假") == []


async def test_details_tell_what_a_list_needs(api: ApiBench):
    body = {"knowledge_base_name": BASE, "kb_info": "说明", "vector_store_type": "milvus", "embed_model": "embed"}
    cut = {"text_splitter": "recursive", "chunk_size": 120, "chunk_overlap": 0}
    await api.post("/knowledge_base/create_knowledge_base", {**body, **cut})
    await api.upload(LEAVE)
    (details,) = (await api.get("/knowledge_base/details")).json()["data"]
    assert details.pop("created_at").endswith("+00:00")
    assert details == {
        "name": BASE, "description": "说明", "embedding_model": "embed", "vector_store": "milvus", "file_count": 1,
        **cut,
        "answering": dict.fromkeys(("when_nothing_found", "sufficient_relevance", "strategy", "preset")),
    }  # fmt: skip


# ---- files ----


async def test_an_upload_is_searchable_when_it_is_answered(real: ApiBench):
    await real.create()
    answer = await real.upload(LEAVE, SICK)
    assert answer == {"code": 200, "msg": "文件上传与向量化完成", "data": {"failed_files": {}}}
    listed = await real.get("/knowledge_base/list_files", knowledge_base_name=BASE)
    assert listed.json() == {"code": 200, "msg": "success", "data": [LEAVE[0], SICK[0]]}
    assert (await real.search("年假"))[0]["page_content"] == LEAVE[1]


async def test_of_several_files_those_that_fail_are_named_and_the_rest_are_kept(api: ApiBench):
    await api.create()
    answer = await api.upload(
        LEAVE, ("b.exe", "x"), ("../../c.txt", "x"), ("d.pdf", "no pdf"), ("e.txt", ""), language="en"
    )
    failed = answer["data"]["failed_files"]
    assert answer["code"] == 200
    assert set(failed) == {"b.exe", "../../c.txt", "d.pdf", "e.txt"}
    assert "not supported" in failed["b.exe"]
    assert "path separator" in failed["../../c.txt"]
    assert "zero bytes" in failed["e.txt"]
    listed = (await api.get("/knowledge_base/list_files", knowledge_base_name=BASE)).json()["data"]
    assert listed == ["d.pdf", LEAVE[0]]
    assert "暂未支持的文件格式 b.exe" in (await api.upload(("b.exe", "x")))["data"]["failed_files"]["b.exe"]


async def test_a_failed_file_says_why_in_its_list(api: ApiBench):
    await api.create()
    await api.upload(LEAVE, ("d.pdf", "no pdf"))
    answer = await api.http.get(
        "/knowledge_base/files", params={"knowledge_base_name": BASE}, headers={"accept-language": "en"}
    )
    torn, whole = answer.json()["data"]
    assert (torn["name"], torn["state"], torn["failure_code"]) == ("d.pdf", "failed", "file.unreadable")
    assert torn["failure"].startswith("The file 'd.pdf' could not be read")
    assert list(whole) == [
        "name", "size_bytes", "state", "version", "chunk_count", "modified_at", "failure", "failure_code", "warnings",
        "stage", "progress_done", "progress_total", "duplicate_of", "similar_to", "summary",
    ]  # fmt: skip
    assert (whole["state"], whole["version"], whole["chunk_count"], whole["failure"]) == ("indexed", 1, 1, None)
    assert whole["size_bytes"] == len(LEAVE[1].encode())


async def test_a_file_is_replaced_only_with_override(api: ApiBench):
    await api.filled()
    newer = (LEAVE[0], "员工每年有七天年假。")
    assert "已存在" in (await api.upload(newer))["data"]["failed_files"][LEAVE[0]]
    assert "五天" in (await api.search("年假"))[0]["page_content"]
    assert (await api.upload(newer, override="true"))["data"]["failed_files"] == {}
    assert [hit["page_content"] for hit in await api.search("年假", top_k=50)].count(LEAVE[1]) == 0
    assert "七天" in (await api.search("年假"))[0]["page_content"]


async def test_one_name_twice_in_an_upload_loses_no_file_unsaid(real: ApiBench):
    await real.create()
    answer = await real.upload(("a.txt", "第一份年假"), ("a.txt", "第二份年假"))
    assert "已存在" in answer["data"]["failed_files"]["a.txt"]
    assert [hit["page_content"] for hit in await real.search("年假")] == ["第一份年假"]
    answer = await real.upload(("a.txt", "第三份年假"), ("a.txt", "第四份年假"), override="true")
    assert answer["data"]["failed_files"] == {}
    assert [hit["page_content"] for hit in await real.search("年假")] == ["第四份年假"]


async def test_a_file_may_be_stored_and_indexed_later(api: ApiBench):
    await api.create()
    assert (await api.upload(LEAVE, to_vector_store="false"))["data"]["failed_files"] == {}
    assert await api.search("年假") == []
    body = {"knowledge_base_name": BASE, "file_names": [LEAVE[0], "absent.txt"]}
    answer = (await api.post("/knowledge_base/update_docs", body)).json()
    assert (answer["code"], answer["msg"]) == (200, "更新文档完成")
    assert list(answer["data"]["failed_files"]) == ["absent.txt"]
    assert len(await api.search("年假")) == 1


async def test_chunk_size_is_obeyed(api: ApiBench):
    await api.create()
    text = "".join(f"第{number}条规定员工年假。" for number in range(30))
    await api.upload(("a.txt", text), chunk_size="30", chunk_overlap="0")
    assert len(await api.search("年假", top_k=100)) > 5
    body = {"knowledge_base_name": BASE, "file_names": ["a.txt"], "chunk_size": 1000, "chunk_overlap": 0}
    await api.post("/knowledge_base/update_docs", body)
    assert len(await api.search("年假", top_k=100)) == 1


async def test_uploads_at_once_into_one_base_lose_nothing(real: ApiBench):
    await real.create()
    files = [(f"{number}.txt", f"编号{number}的年假规定") for number in range(12)]
    answers = await asyncio.gather(*(real.upload(file) for file in files))
    assert all(answer["data"]["failed_files"] == {} for answer in answers)
    assert {hit["page_content"] for hit in await real.search("年假", top_k=100)} == {text for _, text in files}


@pytest.mark.parametrize("delete_content", [True, False])
async def test_deleting_files(api: ApiBench, tmp_path: Path, delete_content: bool):
    await api.filled()
    body = {"knowledge_base_name": BASE, "file_names": [LEAVE[0], "x.txt"], "delete_content": delete_content}
    answer = (await api.post("/knowledge_base/delete_docs", body)).json()
    assert (answer["code"], answer["msg"]) == (200, "文件删除完成")
    assert list(answer["data"]["failed_files"]) == ["x.txt"]
    assert {hit["page_content"] for hit in await api.search("年假 病假", top_k=50)} == {SICK[1]}
    assert (tmp_path / BASE / "content" / LEAVE[0]).is_file() is not delete_content


async def test_supported_files(api: ApiBench):
    supported = (await api.get("/knowledge_base/supported_files")).json()["data"]
    assert {".pdf", ".docx", ".txt", ".md", ".xlsx", ".csv", ".html"} <= set(supported)


async def test_an_unknown_base_is_a_404_inside_on_old_paths_and_a_true_one_on_ours(api: ApiBench):
    named = {"knowledge_base_name": "无此库"}
    files = {**named, "file_names": ["a.txt"]}
    listed = await api.get("/knowledge_base/list_files", **named)
    assert listed.json()["data"] == []
    answers = [
        listed,
        await api.get("/knowledge_base/download_doc", **named, file_name="a.txt"),
        await api.post("/knowledge_base/update_docs", files),
        await api.post("/knowledge_base/delete_docs", files),
        await api.http.post("/knowledge_base/upload_docs", files={"files": ("a.txt", b"x")}, data=named),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (200, 404)
        assert answer.json()["msg"].startswith("未找到知识库 无此库")
    assert (await api.get("/knowledge_base/files", **named)).status_code == 404
    assert await api.search("年假", base="无此库") == []


# ---- search ----


async def test_search_answers_a_list_best_first_with_a_distance(real: ApiBench):
    await real.filled()
    first, *_ = found = await real.search("年假", top_k=2)
    assert list(first) == ["page_content", "metadata", "type", "id", "score"]
    assert (first["page_content"], first["type"], first["metadata"]["source"]) == (LEAVE[1], "Document", LEAVE[0])
    assert len(first["id"]) == 32
    assert first["score"] == pytest.approx(2 - 2 * first["metadata"]["similarity"], abs=1e-3)
    assert all(0 <= hit["score"] <= 2 for hit in found)


async def test_a_threshold_cuts_only_when_it_is_sent(api: ApiBench):
    await api.filled()
    every = await api.search("年假怎么请呀", top_k=50)
    assert len(every) == 2
    assert len(await api.search("年假怎么请呀", top_k=50, score_threshold=2)) == 2
    nearest, farthest = sorted(hit["score"] for hit in every)
    between = (nearest + farthest) / 2
    kept = await api.search("年假怎么请呀", top_k=50, score_threshold=between)
    assert [hit["score"] for hit in kept] == [nearest]
    assert all(hit["score"] == 0 for hit in await api.search("年假怎么请呀", score_threshold=0))
    assert len(await api.search("年假怎么请呀", top_k=1)) == 1


@pytest.mark.parametrize("query", ["", "  "])
async def test_an_empty_search_finds_nothing(api: ApiBench, query: str):
    await api.filled()
    assert await api.search(query) == []


async def test_without_a_query_the_chunks_of_files_are_listed_in_order(real: ApiBench):
    await real.filled()
    await real.upload(("年假 2.md", "# 甲\n\n一。\n\n# 乙\n\n二。\n"))

    async def listed(**asked: object) -> list[tuple[str, str, float]]:
        body = {"knowledge_base_name": BASE, **asked}
        found = (await real.http.post("/knowledge_base/search_docs", json=body)).json()
        return [(one["metadata"]["source"], one["metadata"].get("heading", ""), one["score"]) for one in found]

    assert await listed(file_name="年假 2.md") == [("年假 2.md", "甲", 3.0), ("年假 2.md", "乙", 3.0)]
    assert {source for source, *_ in await listed(file_name="年假%")} == {"年假 2.md", LEAVE[0]}
    assert await listed(file_name="年假__.md") == await listed(file_name="年假 2.md")
    assert await listed(metadata={"heading": "乙"}) == [("年假 2.md", "乙", 3.0)]
    assert await listed(file_name="病假%", metadata={"heading": "乙"}) == []
    assert await listed(file_name="[a-z]+") == []


async def test_a_query_is_words_and_no_program(real: ApiBench):
    await real.filled()
    for query in ('" OR 1=1 --', "年假*", "NEAR(", "%", "\u0000", "😀", "' ; drop table chunk; --"):
        answer = await real.post("/knowledge_base/search_docs", {"query": query, "knowledge_base_name": BASE})
        assert answer.status_code == 200
        assert isinstance(answer.json(), list)
    assert len(await real.search("年假")) > 0


# ---- downloads ----


async def downloaded(api: ApiBench, name: str, *, preview: bool = False, **headers: str) -> httpx.Response:
    query = {"knowledge_base_name": BASE, "file_name": name, "preview": str(preview).lower()}
    return await api.http.get("/knowledge_base/download_doc", params=query, headers=headers)


@pytest.mark.parametrize(
    ("name", "preview", "media", "disposition", "sandboxed"),
    [
        ("年假.txt", True, "text/plain", "inline", True),
        ("a.md", True, "text/plain", "inline", True),
        ("a.html", True, "text/html", "attachment", True),
        ("a.html", False, "text/html", "attachment", True),
        ("a.pdf", True, "application/pdf", "inline", False),
        ("a.pdf", False, "application/pdf", "attachment", False),
    ],
)
async def test_a_download_is_shown_only_where_that_is_safe(
    api: ApiBench, name: str, preview: bool, media: str, disposition: str, sandboxed: bool
):
    await api.create()
    await api.upload((name, "<script>alert(1)</script>"), to_vector_store="false")
    answer = await downloaded(api, name, preview=preview)
    assert answer.text == "<script>alert(1)</script>"
    assert answer.headers["content-type"].startswith(media)
    assert answer.headers["content-disposition"].startswith(f"{disposition}; filename")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ("sandbox" in answer.headers.get("content-security-policy", "")) is sandboxed


async def test_a_chinese_file_name_and_a_range_come_through(api: ApiBench):
    await api.filled()
    whole = await downloaded(api, LEAVE[0])
    assert "filename*=utf-8''%E5%B9%B4%E5%81%87.txt" in whole.headers["content-disposition"]
    assert whole.content == LEAVE[1].encode()
    part = await downloaded(api, LEAVE[0], range="bytes=3-8")
    assert (part.status_code, part.content) == (206, LEAVE[1].encode()[3:9])
    assert part.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["absent.txt", "../../info.db", "/etc/passwd", "..\\info.db", ".", "a\x00b"])
async def test_only_files_on_record_are_given_out(api: ApiBench, name: str):
    await api.filled()
    answer = await downloaded(api, name)
    assert answer.status_code == 200
    assert answer.json()["code"] in {400, 404}
    assert answer.json()["data"] is None
