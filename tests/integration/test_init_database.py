"""init_database.py as a process, over real SQLite and Milvus Lite, with a gateway of the test's own."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from services.api.domain.knowledge import ChunkId, EmbeddedChunk, KnowledgeBaseId
from services.api.knowledge.vector_stores.milvus.store import MilvusStore
from services.wire.openai import EmbeddingItem, EmbeddingRequest, EmbeddingResponse, Usage
from tests.fakes.embedder import FakeEmbedder
from tests.live import free_port, serve

SCRIPT = Path(__file__).resolve().parents[2] / "init_database.py"


@dataclass
class Script:
    """The script over one data folder.

    Attributes:
        said: what the last run printed.
    """

    data: Path
    gateway_port: int = field(default_factory=free_port)
    milvus_port: int = field(default_factory=free_port)
    milvus_health_port: int = field(default_factory=free_port)
    said: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """Of every process over the data folder."""
        return os.environ | {  # noqa: TID251
            "CHATCHAT_SERVER__DATA_DIR": str(self.data),
            "CHATCHAT_SERVER__GATEWAY__PORT": str(self.gateway_port),
            "CHATCHAT_SERVER__MILVUS__PORT": str(self.milvus_port),
            "CHATCHAT_SERVER__MILVUS_HEALTH__PORT": str(self.milvus_health_port),
            "CHATCHAT_SERVER__LOGGING__FOLDER": str(self.data / "logs"),
        }

    async def run(self, *arguments: str, folder: Path | None = None) -> int:
        """Run the script to its end; returns the exit code."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), *arguments, cwd=folder or self.data, env=self.environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
        self.said = output.decode()
        assert process.returncode is not None
        return process.returncode

    def lay(self, name: str, text: str, base: str = "政策") -> Path:
        """Put a file into a base's folder."""
        path = self.data / base / "content" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def rows(self, query: str) -> list[Any]:
        """The first column of what the metadata database answers."""
        connection = sqlite3.connect(self.data / "info.db")
        try:
            return [row[0] for row in connection.execute(query)]
        finally:
            connection.close()

    def states(self) -> dict[str, str]:
        """File → state."""
        return dict(zip(self.rows(_NAMES), self.rows(_STATES), strict=True))


_NAMES = "SELECT name FROM knowledge_files ORDER BY name"
_STATES = "SELECT state FROM knowledge_files ORDER BY name"
_FORGET_WORDS = (
    "DELETE FROM keyword_2_{base} WHERE rowid = (SELECT row FROM keyword_2_rows WHERE chunk = ?)",
    "DELETE FROM keyword_2_rows WHERE chunk = ?",
)
_TEXTS = "SELECT text FROM chunks ORDER BY text"


@pytest.fixture
def script(tmp_path: Path) -> Script:
    data = tmp_path / "data"
    data.mkdir()
    return Script(data)


@pytest.fixture
async def served(script: Script) -> AsyncIterator[Script]:
    """The script beside a gateway that serves the embedding model, so that nothing needs to be started."""
    gateway, embedder = FastAPI(), FakeEmbedder()

    @gateway.get("/v1/models")
    async def _models() -> dict[str, object]:
        return {"object": "list", "data": [{"id": "all-minilm-l6-v2", "object": "model"}]}

    @gateway.post("/v1/embeddings")
    async def _embeddings(request: Request) -> EmbeddingResponse:
        body = EmbeddingRequest.model_validate(await request.json())
        vectors = await embedder.embed_documents(body.model, body.texts)
        items = [EmbeddingItem(index=index, embedding=list(vector or ())) for index, vector in enumerate(vectors)]
        return EmbeddingResponse(model=body.model, data=items, usage=Usage())

    async with serve(gateway, script.gateway_port):
        yield script


async def test_help_names_every_flag(script: Script):
    assert await script.run() == 0
    for flag in (
        "-r", "--recreate-vs", "--create-tables", "--clear-tables", "--import-db", "-u", "--update-in-db", "-i",
        "--increment", "--prune-db", "--prune-folder", "-n", "--kb-name", "-e", "--embed-model", "--check",
    ):  # fmt: skip
        assert flag in script.said
    assert list(script.data.iterdir()) == []
    without_flags = script.said
    assert await script.run("--help") == 0
    assert script.said == without_flags


async def test_in_a_fresh_folder_tables_are_made_and_nothing_is_started(script: Script):
    assert await script.run("--create-tables", "--increment") == 0
    assert script.rows("SELECT count(*) FROM knowledge_bases") == [0]
    assert "nothing to do" in script.said
    assert not (script.data / "vectors.milvus").exists()


async def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path: Path):
    cases = {
        "There is no knowledge base named 'nowhere'": ["--prune-db", "-n", "nowhere"],
        "nowhere.db": ["--import-db", "nowhere.db"],
    }

    async def refused(number: int, arguments: list[str]) -> str:
        script = Script(tmp_path / str(number))
        script.data.mkdir()
        assert await script.run(*arguments) == 2, script.said
        assert "Traceback" not in script.said
        return script.said

    said = await asyncio.gather(*(refused(number, arguments) for number, arguments in enumerate(cases.values())))
    for sentence, text in zip(cases, said, strict=True):
        assert sentence in text


async def test_a_base_is_filled_pruned_updated_copied_and_rebuilt(served: Script, tmp_path: Path):
    leave, torn = served.lay("年假.txt", "年假 五天"), served.lay("torn.pdf", "no pdf")
    served.lay("program.exe", "x")
    assert await served.run("-i") == 1
    assert served.states() == {"torn.pdf": "failed", "年假.txt": "indexed"}
    assert "program.exe" in served.said
    assert "torn.pdf" in served.said

    torn.unlink()
    assert await served.run("--prune-db") == 0
    assert served.states() == {"年假.txt": "indexed"}

    leave.write_text("年假 七天", encoding="utf-8")
    assert await served.run("-u", "-n", "政策") == 0
    assert served.rows(_TEXTS) == ["年假 七天"]
    assert served.rows("SELECT version FROM knowledge_files") == [2]

    await _copied_and_cleared(served, Script(tmp_path / "other"))

    leave.unlink()
    late = served.lay("病假.txt", "病假 十天")
    assert await served.run("-r") == 0
    assert served.states() == {"病假.txt": "indexed"}
    assert served.rows(_TEXTS) == ["病假 十天"]

    late.unlink()
    assert await served.run("-r", "-n", "政策") == 0
    assert served.states() == {}
    assert served.rows(_TEXTS) == []
    assert served.rows("SELECT name FROM knowledge_bases") == ["政策"]


async def _copied_and_cleared(filled: Script, other: Script) -> None:
    """Import by a path as the caller's shell means it, then drop all."""
    other.data.mkdir()
    assert await other.run("--import-db", "info.db", folder=filled.data) == 0
    assert other.states() == {"年假.txt": "indexed"}
    assert other.rows(_TEXTS) == ["年假 七天"]
    assert await other.run("--clear-tables") == 0
    assert other.states() == {}
    assert filled.states() == {"年假.txt": "indexed"}


async def test_a_check_repairs_what_was_torn_and_says_so(served: Script):
    leave, sick = served.lay("年假.txt", "年假 五天"), served.lay("病假.txt", "病假 十天")
    lost = served.lay("婚假.txt", "婚假 三天")
    assert await served.run("-i") == 0
    assert await served.run("--check") == 0
    assert "政策: 3 files, 3 chunks compared\n" in served.said
    assert "0 faults repaired, 0 left for a person" in served.said

    ((base,), (torn, *_)) = served.rows("SELECT id FROM knowledge_bases"), served.rows("SELECT id FROM chunks")
    vectors = MilvusStore(served.data / "vectors.milvus", {})
    await vectors.start()
    await vectors.remove(KnowledgeBaseId(base), [ChunkId(torn)])
    (kept, *_) = await vectors.ids(KnowledgeBaseId(base))
    vector = (1.0, *(0.0,) * 63)
    await vectors.upsert(KnowledgeBaseId(base), [EmbeddedChunk(ChunkId("0" * 32), vector)])
    await vectors.upsert(KnowledgeBaseId("e" * 32), [EmbeddedChunk(kept, vector)])
    await vectors.stop()
    with sqlite3.connect(served.data / "info.db") as connection:
        for statement in _FORGET_WORDS:
            connection.execute(statement.format(base=base), (torn,))
        connection.execute("UPDATE knowledge_files SET state = 'pending' WHERE name = ?", (sick.name,))
    connection.close()
    leave.write_text("年假 七天", encoding="utf-8")
    assert await served.run("--check") == 0, served.said
    for sentence in (
        "1 files that were to be indexed had no job and are in line again: 病假.txt",
        "1 files changed since they were indexed, and are in line again: 年假.txt",
        "1 vectors belonged to no chunk and were removed",
        "1 collections of vectors belonged to no knowledge base and were dropped",
    ):
        assert f"repaired: {sentence}" in served.said
    assert served.rows(_TEXTS) == ["婚假 三天", "年假 七天", "病假 十天"]
    assert set(served.states().values()) == {"indexed"}

    lost.unlink()
    assert await served.run("--check", "-n", "政策") == 1
    assert "needs a person: 1 files on record are not in the folder: 婚假.txt" in served.said
    assert "0 faults repaired, 1 left for a person" in served.said
    await vectors.start()
    live = set(served.rows("SELECT id FROM chunks"))
    assert await vectors.ids(KnowledgeBaseId(base)) == live == set(served.rows("SELECT chunk FROM keyword_2_rows"))
    assert await vectors.bases() == {KnowledgeBaseId(base)}
    await vectors.stop()


async def test_a_check_works_beside_the_process_that_has_the_vectors_open(served: Script):
    served.lay("年假.txt", "年假 五天")
    assert await served.run("-i") == 0
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.api", "milvus"), cwd=SCRIPT.parent, env=served.environment
    )
    try:
        async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
            while not await _is_up(client, f"http://127.0.0.1:{served.milvus_health_port}/healthz"):
                await asyncio.sleep(0.2)
        (base,), (chunk,) = served.rows("SELECT id FROM knowledge_bases"), served.rows("SELECT id FROM chunks")
        vectors = MilvusStore(served.data, {"lite_uri": f"http://127.0.0.1:{served.milvus_port}"})
        await vectors.start()
        await vectors.remove(KnowledgeBaseId(base), [ChunkId(chunk)])
        assert await served.run("--check") == 0, served.said
        assert "repaired: 1 chunks had no vector and were embedded again" in served.said
        assert await vectors.ids(KnowledgeBaseId(base)) == {chunk}
        await vectors.stop()
    finally:
        process.terminate()
        await process.wait()


async def _is_up(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.HTTPError:
        return False
