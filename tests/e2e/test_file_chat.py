"""Files for a while, and summaries, on the real stack: upload, ask, read what they say, and that nothing is left."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.e2e.asking import events
from tests.e2e.conftest import upload
from tests.stack import Stack

ZH_QUESTION = "2021年第三季度的加权平均净资产收益率是多少？"
EN_QUESTION = "How many miles of pipe were renewed in 2022?"


def kept(api: httpx.Client, *paths: Path, prev_id: str | None = None) -> dict[str, object]:
    """The envelope of an upload of temporary files."""
    files = [("files", (path.name, path.read_bytes())) for path in paths]
    data = {} if prev_id is None else {"prev_id": prev_id}
    answer: dict[str, object] = api.post("/knowledge_base/upload_temp_docs", files=files, data=data).json()
    return answer


def test_uploaded_files_are_asked_and_deleted(api: httpx.Client, stack: Stack, reports: dict[str, Path]) -> None:
    first = kept(api, reports["季度报告.pdf"])
    assert first["code"] == 200, first
    ident = first["data"]["id"]  # type: ignore[index]
    *pieces, last = events(api, "/chat/file_chat", {"query": ZH_QUESTION, "knowledge_id": ident, "stream": True})
    assert "2.37%" in "".join(piece["answer"] for piece in pieces)
    cited = last["citations"][0]
    assert (cited["file_name"], cited["page"], cited["url"]) == ("季度报告.pdf", 2, "")
    assert kept(api, reports["annual report.pdf"], prev_id=ident)["data"]["id"] == ident  # type: ignore[index]
    *_, both = events(api, "/chat/file_chat", {"query": EN_QUESTION, "knowledge_id": ident, "stream": True})
    assert (both["citations"][0]["file_name"], both["citations"][0]["page"]) == ("annual report.pdf", 2)
    listed = api.get("/knowledge_base/list_knowledge_bases").json()["data"]
    assert not any(name.startswith(".") for name in listed)
    folders = {path.name for path in stack.data_dir.iterdir() if path.is_dir() and path.name.startswith(".")}
    assert api.post("/knowledge_base/delete_temp_docs", json={"knowledge_id": ident}).status_code == 200
    gone = api.post("/chat/file_chat", json={"query": ZH_QUESTION, "knowledge_id": ident}).json()
    assert (gone["code"], gone["error"]["code"]) == (404, "temporary.not_found")
    began = time.monotonic()
    while any((stack.data_dir / name / "content").is_dir() for name in folders):
        assert time.monotonic() - began < 30, "the folder of deleted files is still there"
        time.sleep(0.2)


def test_a_file_is_summarised_by_what_it_says(
    api: httpx.Client, make_base: Callable[[str], str], reports: dict[str, Path]
) -> None:
    base = make_base("摘要")
    assert upload(api, base, reports["季度报告.pdf"]) == {}
    body = {"knowledge_base_name": base, "file_name": "季度报告.pdf"}
    (event,) = events(api, "/knowledge_base/kb_summary_api/summary_file_to_vector_store", body)
    assert event["code"] == 200, event
    said = event["summary"]["text"]
    assert event["summary"]["kind"] == "quoted"
    chunks = api.post(
        "/knowledge_base/search_docs", json={"query": "", "knowledge_base_name": base, "file_name": "季度报告.pdf"}
    ).json()
    text = "".join("".join(chunk["page_content"].split()) for chunk in chunks)
    figures = re.findall(r"\d[\d,.]*%?", "".join(said.split()))
    assert "2.37%" in figures
    assert [figure for figure in figures if figure not in text] == []  # it quotes: no figure is its own
    assert "抽水蓄能电站于2021年9月18日并网发电" in "".join(said.split())
    (file,) = api.get("/knowledge_base/files", params={"knowledge_base_name": base}).json()["data"]
    assert file["summary"] == event["summary"]
