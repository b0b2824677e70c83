"""The API as an app over fake models, asked over HTTP; with fake stores too, or with real SQLite."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from services.api.app import create_app
from services.api.bootstrap import Replacements
from services.api.domain.answering import Finished, ModelRequest, Token
from services.api.domain.ports import ChatModel, VectorStore
from services.api.knowledge.temporary import Clock, utc_now
from services.foundation.settings.tree import Endpoint, Knowledge, Models, ServedModel, Server, Settings
from tests.fakes.embedder import FakeEmbedder
from tests.fakes.storage import MemoryStorage
from tests.fakes.text_index import MemoryTextIndex
from tests.fakes.vector_store import MemoryStore
from tests.live import free_port, serve

MODELS = Models(
    default_chat="talk",
    default_embedding="embed",
    served={
        "talk": ServedModel(task="chat", engine="extractive", rewrites=False),
        "embed": ServedModel(task="embedding", engine="sentence_transformers"),
    },
)
BASE = "政策"
LEAVE = "年假.txt", "员工每年有五天年假。"
SICK = "病假.txt", "病假需要医院证明。"
_ASKED = re.compile(r"<(问题|question)>(.*)</\1>", re.DOTALL)
Piece = str | Exception | asyncio.Event


class TalkingModel:
    """Says the next of its `lines`, or, when none is left, what it was asked, one character a token.

    Attributes:
        requests: every request, as it came.
        broken_off: set when a stream was closed before its end.
    """

    def __init__(self) -> None:
        self.lines: list[Sequence[Piece]] = []
        self.requests: list[ModelRequest] = []
        self.broken_off = asyncio.Event()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Token | Finished]:
        self.requests.append(request)
        prompt = request.messages[-1].content
        asked = _ASKED.search(prompt)
        pieces = self.lines.pop(0) if self.lines else asked.group(2) if asked else prompt
        whole = False
        try:
            for piece in pieces:
                if isinstance(piece, Exception):
                    raise piece
                if isinstance(piece, asyncio.Event):
                    await piece.wait()
                    continue
                await asyncio.sleep(0)
                yield Token(piece)
            whole = True
            yield Finished("stop", prompt_tokens=7, completion_tokens=len(pieces))
        finally:
            if not whole:
                self.broken_off.set()

    def prompt(self, number: int = -1) -> str:
        """The last message of a request."""
        return self.requests[number].messages[-1].content


@dataclass
class ApiBench:
    """The app, a client of it, and the fakes behind it."""

    app: FastAPI
    http: httpx.AsyncClient
    model: TalkingModel
    embedder: FakeEmbedder

    @asynccontextmanager
    async def live(self) -> AsyncIterator[str]:
        """Serve the app through uvicorn while the block runs; yields its base URL."""

        async def started(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                raise RuntimeError("the app was started already")
            await self.app(scope, receive, send)

        async with serve(started) as url:
            yield url

    async def get(self, path: str, **query: str) -> httpx.Response:
        return await self.http.get(path, params=query)

    async def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(path, json=body, headers=named)

    async def create(self, base: str = BASE) -> None:
        answer = await self.post("/knowledge_base/create_knowledge_base", {"knowledge_base_name": base})
        assert answer.json()["code"] == 200, answer.text

    async def upload(
        self, *files: tuple[str, str | bytes], base: str = BASE, language: str = "zh-CN", **form: str
    ) -> dict[str, Any]:
        """The envelope that answers an upload."""
        answer = await self.http.post(
            "/knowledge_base/upload_docs",
            files=[("files", (name, text.encode() if isinstance(text, str) else text)) for name, text in files],
            data={"knowledge_base_name": base, **form},
            headers={"accept-language": language},
        )
        assert answer.status_code == 200, answer.text
        envelope: dict[str, Any] = answer.json()
        return envelope

    async def filled(self, base: str = BASE) -> None:
        """A base with two indexed files."""
        await self.create(base)
        assert (await self.upload(LEAVE, SICK, base=base))["data"] == {"failed_files": {}}

    async def search(self, query: str, base: str = BASE, **more: object) -> list[dict[str, Any]]:
        body = {"query": query, "knowledge_base_name": base, **more}
        answer = await self.post("/knowledge_base/search_docs", body)
        found: list[dict[str, Any]] = answer.json()
        return found

    async def events(self, path: str, body: dict[str, object], **headers: str) -> list[dict[str, Any]]:
        """The events of a chat endpoint."""
        answer = await self.post(path, body, **headers)
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
        return events_of(answer.text)


def events_of(text: str) -> list[dict[str, Any]]:
    """The events of a whole stream."""
    blocks = [block for block in text.split("\r\n\r\n") if block and not block.startswith(":")]
    assert all(block.startswith("data: ") for block in blocks)
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def settings_for(folder: Path, *, server: dict[str, object] | None = None, **knowledge: Any) -> Settings:
    """Settings of an API whose data lie in `folder` and whose gateway is nowhere."""
    values: dict[str, Any] = {"data_dir": folder, "gateway": Endpoint(port=free_port()), **(server or {})}
    return Settings(server=Server(**values), models=MODELS, knowledge=Knowledge(**knowledge))


@asynccontextmanager
async def api_bench(
    settings: Settings,
    *,
    sqlite: bool = False,
    clock: Clock = utc_now,
    vectors: VectorStore | Literal["configured"] | None = None,
    answers: ChatModel | None = None,
) -> AsyncIterator[ApiBench]:
    """The API while the block runs, started and stopped as uvicorn would.

    Args:
        settings: of the API.
        sqlite: metadata and keyword index as the settings say, in place of those in memory.
        clock: what time it is.
        vectors: another store than the one in memory.
        answers: another model than the one that talks.
    """
    model, embedder = TalkingModel(), FakeEmbedder()
    store = None if vectors == "configured" else vectors or MemoryStore()
    replace = Replacements(vectors=store, chat_model=answers or model, embedder=embedder, clock=clock)
    if not sqlite:
        replace = dataclasses.replace(replace, storage=MemoryStorage(), keywords=MemoryTextIndex())
    app = create_app(settings, replace)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api.test") as http,
    ):
        yield ApiBench(app, http, model, embedder)
