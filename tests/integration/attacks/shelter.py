"""The real api with its files and SQLite in a folder with known surroundings: what it does, and what it must not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from services.api.app import create_app
from services.api.bootstrap import Replacements
from tests.fakes.embedder import FakeEmbedder
from tests.fakes.vector_store import MemoryStore
from tests.integration.api_bench import TalkingModel, settings_for

BASE = "guarded"
_BOUNDARY = "=-=-=-boundary"


@dataclass(frozen=True)
class Shelter:
    """The api and where its files lie.

    Attributes:
        outside: a folder three floors above the data folder; nothing but the data folder may change in it.
    """

    http: httpx.AsyncClient
    data: Path
    outside: Path

    @property
    def content(self) -> Path:
        return self.data / BASE / "content"

    async def create(self, base: str = BASE) -> dict[str, Any]:
        return await self.post("/knowledge_base/create_knowledge_base", {"knowledge_base_name": base})

    async def post(self, path: str, body: object) -> dict[str, Any]:
        """The envelope of an answer, whatever its status."""
        return envelope(await self.http.post(path, json=body))

    async def get(self, path: str, **query: str) -> httpx.Response:
        return await self.http.get(path, params=query)

    async def upload(self, name: str | bytes, content: bytes, base: str = BASE, **form: str) -> dict[str, Any]:
        """Upload under a raw name, as no HTTP client would write it."""
        headers = {"content-type": f"multipart/form-data; boundary={_BOUNDARY}", "accept-language": "en"}
        fields = {"knowledge_base_name": base, **form}
        return envelope(
            await self.http.post(
                "/knowledge_base/upload_docs", content=multipart(fields, name, content), headers=headers
            )
        )

    async def files(self, base: str = BASE) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("/knowledge_base/files", knowledge_base_name=base)).json()["data"]
        return found

    async def bases(self) -> list[str]:
        found: list[str] = (await self.get("/knowledge_base/list_knowledge_bases")).json()["data"]
        return found

    async def search(self, query: str, base: str = BASE) -> str:
        body = {"query": query, "knowledge_base_name": base, "top_k": 20}
        return (await self.http.post("/knowledge_base/search_docs", json=body)).text

    def surroundings(self) -> dict[str, str]:
        """Every entry outside the data folder, with what is in it."""
        return {
            str(path): _seen(path)
            for path in sorted(self.outside.rglob("*"))
            if path != self.data and self.data not in path.parents
        }

    def inside(self) -> set[str]:
        """Every entry of the data folder but what the stores and the readers of files keep for themselves."""
        found = (path.relative_to(self.data) for path in self.data.rglob("*"))
        return {str(path) for path in found if not path.parts[0].startswith(("info.db", "vectors.milvus", ".cache"))}


def envelope(answer: httpx.Response) -> dict[str, Any]:
    parsed = answer.json()
    assert isinstance(parsed, dict), parsed
    assert answer.status_code < 500, answer.text
    return {"code": answer.status_code, **parsed}


def multipart(fields: dict[str, str], name: str | bytes, content: bytes) -> bytes:
    raw = name if isinstance(name, bytes) else name.encode("utf-8", "surrogatepass")
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields.items()
    ]
    quoted = raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\r", b"%0D").replace(b"\n", b"%0A")
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="'.encode()
    return b"".join([*parts, head, quoted, b'"\r\n\r\n', content, f"\r\n--{_BOUNDARY}--\r\n".encode()])


def _seen(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"


@asynccontextmanager
async def shelter(folder: Path) -> AsyncIterator[Shelter]:
    """The api while the block runs, with an empty base; around its data folder lie things it must not touch."""
    outside = folder / "outside"
    data = outside / "one" / "two" / "data"
    (outside / "one" / "two" / "data-evil").mkdir(parents=True)
    for place in (outside, outside / "one", outside / "one" / "two", outside / "one" / "two" / "data-evil"):
        (place / "kept.txt").write_text(f"must not be read or changed: {json.dumps(str(place.name))}")
    replace = Replacements(vectors=MemoryStore(), chat_model=TalkingModel(), embedder=FakeEmbedder())
    app = create_app(settings_for(data), replace)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api.test") as http,
    ):
        made = Shelter(http, data, outside)
        assert (await made.create())["code"] == 200
        yield made
