"""A scripted chatchat API for the web UI's tests: real HTTP and real streams, answers written here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import uvicorn
from fastapi import Body, FastAPI, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from services.foundation.errors import (
    ChatchatError,
    ConversationNotFound,
    InvalidName,
    KnowledgeBaseNotFound,
    NoWorker,
    TemporaryFilesNotFound,
    UnreadableFile,
    WritingNeeded,
)
from services.foundation.http import envelope_body, language_of
from services.foundation.sse import event_response
from tests.live import free_port

Json = Annotated[dict[str, Any], Body()]
WHEN = "2026-11-21T08:30:00+00:00"
OWNER = "owner-of-the-tests-0123456789abcdef"


@dataclass
class Script:
    """What the API knows, what it is told to do, and what it saw."""

    bases: dict[str, dict[str, Any]] = field(default_factory=dict)
    temporary: dict[str, dict[str, Any]] = field(default_factory=dict)
    conversations: dict[str, dict[str, Any]] = field(default_factory=dict)
    engine: str = "openai_compatible"
    pieces: list[str] = field(default_factory=lambda: ["你好", "，世界。"])
    excerpt: str = "原文"
    support: list[dict[str, Any]] = field(default_factory=list)
    answering: dict[str, Any] | None = None
    wordings: list[str] = field(default_factory=list)
    heading: list[str] = field(default_factory=list)
    piece_seconds: float = 0.0
    stall: bool = False
    failure: ChatchatError | None = None
    uploads_fail: bool = True
    asked: list[dict[str, Any]] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    def add_base(self, name: str, description: str = "", files: tuple[str, ...] = ()) -> None:
        self.bases[name] = {"description": description, "files": {file: _file(file, 1000) for file in files}}

    def citations(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The one passage that is found; nobody can open a file of a file chat."""
        base = body.get("knowledge_base_name")
        files = self.bases[base]["files"] if base else self.temporary[body["knowledge_id"]]
        url = "/knowledge_base/download_doc?knowledge_base_name=x&file_name=y&preview=true#page=12" if base else ""
        return [{
            "number": 1, "knowledge_base": base or "", "file_name": next(iter(files), "手册.pdf"), "page": 12,
            "heading": self.heading, "excerpt": self.excerpt, "similarity": 0.83, "chunk_id": "c1", "url": url,
        }]  # fmt: skip


def _file(name: str, size: int, **more: Any) -> dict[str, Any]:
    whole = {"name": name, "size_bytes": size, "state": "indexed", "version": 1, "chunk_count": 7, "modified_at": WHEN}
    return whole | more


def why(query: str, script: Script) -> dict[str, Any]:
    """The explanation of a search by words alone that found two passages and kept the first."""
    place = {"page": 12, "heading": " > ".join(script.heading)}
    known = {"knowledge_base": "samples", "file_name": "手册.pdf", "place": place}
    ranks = {"keyword_rank": 1, "coverage": 0.83, "fused_rank": 1, "final_rank": 1, "relevance": 0.71}
    less = {"keyword_rank": 2, "coverage": 0.4, "fused_rank": 2, "final_rank": 2, "relevance": 0.2}
    return {
        "query": query,
        "wordings": script.wordings,
        "arms": [
            {"knowledge_base": "samples", "kind": "keyword", "found": 2, "weight": 1.0},
            {"knowledge_base": "samples", "kind": "dense", "found": 0, "weight": 0.0, "left_out": "unreadable"},
        ],
        "candidates": [
            {"chunk_id": "c1", "fate": "used", **known, **ranks},
            {"chunk_id": "c2", "fate": "cut", **known, **less},
        ],
        "milliseconds": {"keyword": 3.2, "rerank": 1.0},
    }


def _chat_type(body: dict[str, Any]) -> str:
    if "knowledge_id" in body:
        return "file_chat"
    return "knowledge_base_chat" if "knowledge_base_name" in body else "llm_chat"


def _ok(value: Any = None) -> JSONResponse:
    return JSONResponse({"code": 200, "msg": "success", "data": value})


def create(script: Script) -> FastAPI:
    app = FastAPI()

    @app.exception_handler(ChatchatError)
    async def _failed(request: Request, error: ChatchatError) -> JSONResponse:
        return JSONResponse(envelope_body(error, "r1", language_of(request, "zh-CN")))

    _knowledge(app, script)
    _summaries(app, script)
    _temporary(app, script)
    _conversations(app, script)
    _chat(app, script)
    return app


def _knowledge(app: FastAPI, script: Script) -> None:  # noqa: C901 - a list of endpoints
    def known(name: str) -> dict[str, Any]:
        if name not in script.bases:
            raise KnowledgeBaseNotFound(name=name)
        return script.bases[name]

    @app.get("/knowledge_base/details")
    async def details(request: Request) -> JSONResponse:
        script.languages.append(request.headers.get("accept-language", ""))
        return _ok([
            {"name": name, "description": base["description"], "embedding_model": "all-minilm-l6-v2",
             "answering": base.get("answering", {}),
             "vector_store": "milvus", "file_count": len(base["files"]), "created_at": WHEN}
            for name, base in script.bases.items()
        ])  # fmt: skip

    @app.post("/knowledge_base/create_knowledge_base")
    async def create_base(body: Json) -> JSONResponse:
        name = body["knowledge_base_name"]
        if "/" in name or not name:
            raise InvalidName(what="The knowledge base name", name=name, reason="it holds a path separator")
        script.add_base(name, body.get("kb_info", ""))
        return _ok()

    @app.post("/knowledge_base/delete_knowledge_base")
    async def delete_base(name: Annotated[str, Body()]) -> JSONResponse:
        known(name)
        del script.bases[name]
        return _ok()

    @app.post("/knowledge_base/update_answering")
    async def update_answering(body: Json) -> JSONResponse:
        known(body["knowledge_base_name"])["answering"] = body["answering"]
        script.asked.append(body)
        return _ok()

    @app.get("/knowledge_base/files")
    async def files(knowledge_base_name: str) -> JSONResponse:
        return _ok(list(known(knowledge_base_name)["files"].values()))

    @app.get("/knowledge_base/supported_files")
    async def supported() -> JSONResponse:
        return _ok([".pdf", ".docx", ".xlsx", ".md", ".txt", ".csv", ".html"])

    @app.post("/knowledge_base/upload_docs")
    async def upload(
        request: Request,
        files: Annotated[list[UploadFile], File()],
        knowledge_base_name: Annotated[str, Form()],
        override: Annotated[bool, Form()],
    ) -> JSONResponse:
        base = known(knowledge_base_name)
        failed = {}
        for file in files:
            content = await file.read()
            name = file.filename or ""
            if b"broken" in content:
                error = UnreadableFile(file=name, reason="it is broken")
                failed[name] = envelope_body(error, "r1", language_of(request, "zh-CN"))["msg"]
            base["files"][name] = _file(name, len(content), state="failed" if name in failed else "indexed",
                                        failure=failed.get(name))  # fmt: skip
        script.asked.append({"upload": [file.filename for file in files], "override": override})
        return _ok({"failed_files": failed})

    @app.post("/knowledge_base/update_docs")
    async def update(body: Json) -> JSONResponse:
        script.asked.append(body)
        return _ok({"failed_files": {}})

    @app.post("/knowledge_base/delete_docs")
    async def delete_files(body: Json) -> JSONResponse:
        for name in body["file_names"]:
            known(body["knowledge_base_name"])["files"].pop(name)
        script.asked.append(body)
        return _ok({"failed_files": {}})

    @app.get("/knowledge_base/download_doc")
    async def download() -> PlainTextResponse:
        return PlainTextResponse("the file")

    def found() -> list[dict[str, Any]]:
        metadata = {"source": "手册.pdf", "page": 3, "heading": "安装 > 步骤", "relevance": 0.71}
        return [{"page_content": script.excerpt, "metadata": metadata, "type": "Document", "id": "c1", "score": 0.4}]

    @app.post("/knowledge_base/search_docs")
    async def search(body: Json) -> JSONResponse:
        script.asked.append(body)
        return JSONResponse(found())

    @app.post("/knowledge_base/explain_search")
    async def explain(body: Json) -> JSONResponse:
        script.asked.append(body)
        return _ok({"documents": found(), "why": why(body["query"], script)})


def _summaries(app: FastAPI, script: Script) -> None:
    @app.post("/knowledge_base/kb_summary_api/summary_file_to_vector_store")
    async def summarise(body: Json, request: Request) -> Response:
        async def events() -> AsyncIterator[str]:
            name = body["file_name"]
            if script.failure is not None:
                yield json.dumps({**envelope_body(script.failure, "r1", language_of(request, "zh-CN")), "doc": name})
                return
            summary = {"text": script.excerpt, "model": "qwen3", "kind": "written", "created_at": WHEN}
            script.bases[body["knowledge_base_name"]]["files"][name]["summary"] = summary
            yield json.dumps({"code": 200, "msg": "ok", "doc": name, "summary": summary})

        script.asked.append(body)
        return event_response(events(), failure=lambda e: json.dumps(envelope_body(e, "r1", "zh-CN")))


def _temporary(app: FastAPI, script: Script) -> None:  # noqa: C901 - a list of endpoints
    def files_of(ident: str) -> dict[str, Any]:
        if ident not in script.temporary:
            raise TemporaryFilesNotFound(id=ident)
        return script.temporary[ident]

    @app.post("/knowledge_base/upload_temp_docs")
    async def upload(
        request: Request, files: Annotated[list[UploadFile], File()], prev_id: Annotated[str | None, Form()] = None
    ) -> JSONResponse:
        ident = prev_id or f"t{len(script.temporary) + 1}"
        kept = files_of(ident) if prev_id else script.temporary.setdefault(ident, {})
        failed = []
        for file in files:
            name, content = file.filename or "", await file.read()
            error = UnreadableFile(file=name, reason="it is broken") if b"broken" in content else None
            if error is not None:
                failed.append({name: envelope_body(error, "r1", language_of(request, "zh-CN"))["msg"]})
            if b"refused" not in content:
                kept[name] = _file(name, len(content), chunk_count=0 if error else 7, state="failed" if error else
                                   "indexed", failure=next(iter(failed[-1].values())) if error else None)  # fmt: skip
        script.asked.append({"upload": [file.filename for file in files], "prev_id": prev_id})
        return _ok({"id": ident, "failed_files": failed})

    @app.get("/knowledge_base/temp_docs")
    async def files(knowledge_id: str) -> JSONResponse:
        return _ok({"id": knowledge_id, "expires_at": WHEN, "files": list(files_of(knowledge_id).values())})

    @app.post("/knowledge_base/delete_temp_docs")
    async def delete(body: Json) -> JSONResponse:
        files_of(body["knowledge_id"])
        del script.temporary[body["knowledge_id"]]
        return _ok()


def _conversations(app: FastAPI, script: Script) -> None:
    @app.get("/models")
    async def models() -> JSONResponse:
        return _ok([
            {"name": "qwen3", "task": "chat", "engine": script.engine, "running": True, "is_default": True},
            {"name": "glm4", "task": "chat", "engine": "vllm", "running": False, "is_default": False},
            {"name": "all-minilm-l6-v2", "task": "embedding", "engine": "x", "running": True, "is_default": True},
        ])  # fmt: skip

    @app.get("/server/answering")
    async def answering() -> JSONResponse:
        return _ok({
            "presets": [{"name": "knowledge_base_chat", "temperature": 0.1, "history_turns": 0, "top_k": 1,
                         "repetition_penalty": 1.2}, {"name": "of our own", "history_turns": 8}],
            "strategies": ["auto", "map_reduce", "stuff"], "memories": ["running_summary", "window"],
            "policies": ["strict", "cautious", "free"], "strategy": "auto", "memory": "window",
            "when_nothing_found": "free", "top_k": 4,
        })  # fmt: skip

    @app.post("/conversations")
    async def open_conversation(body: Json) -> JSONResponse:
        ident = f"c{len(script.conversations) + 1:031d}"
        script.conversations[ident] = {"id": ident, "title": body["title"], "updated_at": WHEN, "turns": [],
                                       "owner": body["owner"]}  # fmt: skip
        return _ok({"id": ident, "title": body["title"], "updated_at": WHEN})

    @app.get("/conversations")
    async def of_owner(owner: str) -> JSONResponse:
        return _ok([kept for kept in script.conversations.values() if kept["owner"] == owner])

    @app.get("/conversations/{ident}")
    async def read(ident: str) -> JSONResponse:
        if ident not in script.conversations:
            raise ConversationNotFound(id=ident)
        return _ok(script.conversations[ident])

    @app.delete("/conversations/{ident}")
    async def delete(ident: str) -> JSONResponse:
        del script.conversations[ident]
        return _ok()


def _chat(app: FastAPI, script: Script) -> None:  # noqa: C901 - a list of endpoints
    async def events(body: dict[str, Any], key: str) -> AsyncIterator[str]:
        said: list[str] = []
        citations = script.citations(body) if key == "answer" else []
        try:
            for piece in script.pieces:
                await asyncio.sleep(script.piece_seconds)
                said.append(piece)
                yield json.dumps({key: piece})
            if script.failure is not None:
                raise script.failure
            while script.stall:
                await asyncio.sleep(0.05)
            if key == "answer":
                explained = (
                    {"why": why(body["query"], script), "support": script.support} if body.get("explain") else {}
                )
                more = {"answering": script.answering} if script.answering else {}
                yield json.dumps({"docs": [], "citations": citations, "query": body["query"], **explained, **more})
        except asyncio.CancelledError:
            script.left.set()
            raise
        finally:
            kept = script.conversations.get(body.get("conversation_id", ""))
            if kept is not None:
                kept["turns"].append({
                    "id": "t", "chat_type": _chat_type(body),
                    "question": body["query"], "answer": "".join(said), "citations": citations, "created_at": WHEN,
                })  # fmt: skip

    def answer(body: dict[str, Any], key: str, request: Request) -> Response:
        script.asked.append(body)
        if body["query"] == "nobody":
            raise NoWorker(model="qwen3")
        if body.get("strategy") == "map_reduce":
            raise WritingNeeded(model="extractive", what="map_reduce", instead="stuff / auto")
        language = language_of(request, "zh-CN")
        return event_response(events(body, key), failure=lambda e: json.dumps(envelope_body(e, "r1", language)))

    @app.post("/chat/chat")
    async def chat(request: Request, body: Json) -> Response:
        return answer(body, "text", request)

    @app.post("/chat/file_chat")
    async def file_chat(request: Request, body: Json) -> Response:
        if body["knowledge_id"] not in script.temporary:
            raise TemporaryFilesNotFound(id=body["knowledge_id"])
        return answer(body, "answer", request)

    @app.post("/chat/knowledge_base_chat")
    async def knowledge_base_chat(request: Request, body: Json) -> Response:
        return answer(body, "answer", request)


def with_samples() -> Script:
    """The usual script: one knowledge base of one file."""
    script = Script()
    script.add_base("samples", "示例", ("手册.pdf",))
    return script


@contextlib.contextmanager
def serving(script: Script, port: int | None = None) -> Iterator[Script]:
    """Serve the scripted API from a thread while the block runs."""
    chosen = port or free_port()
    config = uvicorn.Config(create(script), host="127.0.0.1", port=chosen, log_level="warning",
                            timeout_graceful_shutdown=1)  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    script.address = f"http://127.0.0.1:{chosen}"
    try:
        yield script
    finally:
        server.should_exit = True
        thread.join()
