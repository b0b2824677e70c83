"""Files on their way in, over HTTP: previews, uploads that do not wait, progress, giving up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api_bench import BASE, ApiBench


async def test_a_preview_cuts_a_file_and_keeps_nothing(real: ApiBench, tmp_path: Path):
    await real.create()
    text = "# 休假\n\n年假五天。\n\n## 病假\n\n需要证明。\n"

    def kept() -> set[Path]:
        return {path for path in tmp_path.rglob("*") if ".cache" not in path.parts}

    before = kept()
    answer = await real.http.post(
        "/knowledge_base/preview_docs", files={"file": ("制度.md", text.encode())}, data={"chunk_size": "20"}
    )
    told = answer.json()["data"]
    assert [chunk["metadata"]["heading"] for chunk in told["chunks"]] == ["休假", "休假 > 病假"]
    assert (told["loader"], told["splitter"], told["warnings"]) == ("MarkdownLoader", "SentenceSplitter", [])
    assert (await real.get("/knowledge_base/list_files", knowledge_base_name=BASE)).json()["data"] == []
    assert kept() == before


@pytest.mark.parametrize(
    ("name", "content", "status"), [("a.exe", b"MZ", 415), ("a.txt", b"", 400), ("a.pdf", b"no pdf", 400)]
)
async def test_a_preview_that_fails_says_so_with_its_status(api: ApiBench, name: str, content: bytes, status: int):
    answer = await api.http.post("/knowledge_base/preview_docs", files={"file": (name, content)})
    assert (answer.status_code, answer.json()["code"]) == (status, status)


async def test_how_far_a_file_has_been_read_is_shown_while_it_is_read(real: ApiBench):
    await real.create()
    rows = "".join(f"{number},第{number}行,北京市朝阳区\n" for number in range(150_000))
    uploading = asyncio.ensure_future(real.upload(("表.csv", "编号,名称,地址\n" + rows)))
    seen: list[int] = []
    while not uploading.done() and not seen:
        listed = (await real.get("/knowledge_base/files", knowledge_base_name=BASE)).json()["data"]
        seen += [file["progress_done"] for file in listed if file["progress_done"]]
        await asyncio.sleep(0.02)
    assert seen
    uploading.cancel()


async def test_an_upload_that_does_not_wait_can_be_watched_and_given_up(real: ApiBench):
    await real.create()
    rows = "".join(f"{number},第{number}行,北京市朝阳区\n" for number in range(60_000))
    answer = await real.http.post(
        "/knowledge_base/upload_docs",
        files={"files": ("表.csv", ("编号,名称,地址\n" + rows).encode())},
        data={"knowledge_base_name": BASE, "wait": "false"},
    )
    assert answer.json()["data"]["failed_files"] == {}

    async def listed() -> dict[str, Any]:
        return dict((await real.get("/knowledge_base/files", knowledge_base_name=BASE)).json()["data"][0])

    assert (await listed())["state"] == "pending"
    async with asyncio.timeout(30):
        while (await listed())["stage"] not in {"reading", "indexing"}:
            await asyncio.sleep(0.02)
    given_up = await real.post(
        "/knowledge_base/cancel_docs", {"knowledge_base_name": BASE, "file_names": ["表.csv", "无"]}
    )
    assert list(given_up.json()["data"]["failed_files"]) == ["无"]
    assert (await listed())["state"] == "cancelled"
    assert await real.search("北京市") == []


async def test_copies_and_near_copies_are_marked(real: ApiBench):
    await real.create()
    samples = Path(__file__).resolve().parents[2] / "knowledge_base" / "samples" / "content"
    chinese, english = ((samples / name).read_text(encoding="utf-8") for name in ("快速了解.md", "overview.md"))
    for name, text in (
        ("a.md", chinese), ("b.md", chinese), ("c.md", chinese.replace("知识库", "资料库", 2)),
        ("d.md", english), ("e.md", english + "\n\nRevised in March.\n"),
        ("f.txt", "年假五天。"), ("g.txt", "年假五天。"),
    ):  # fmt: skip
        assert (await real.upload((name, text)))["data"] == {"failed_files": {}}
    listed = (await real.get("/knowledge_base/files", knowledge_base_name=BASE)).json()["data"]
    assert {file["name"]: (file["duplicate_of"], file["similar_to"]) for file in listed} == {
        "a.md": (None, ["c.md"]),
        "b.md": ("a.md", ["c.md"]),
        "c.md": (None, ["a.md", "b.md"]),
        "d.md": (None, ["e.md"]),
        "e.md": (None, ["d.md"]),
        "f.txt": (None, []),
        "g.txt": ("f.txt", []),
    }
