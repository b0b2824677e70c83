"""ChatchatClient: the chatchat API for synchronous callers (the web UI and scripts)."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx
from pydantic import BaseModel, JsonValue, SecretStr, TypeAdapter, ValidationError

from services.clients.transport import failure_in, sync_client, unreachable
from services.foundation.access import LinkSigner
from services.foundation.errors import ChatchatError
from services.foundation.sse import read_events_sync, split_lines_sync
from services.wire.chatchat import (
    CancelDocs,
    ChatRequest,
    CitationBody,
    ConversationBody,
    ConversationWithTurns,
    CreateKnowledgeBase,
    DeleteDocs,
    FailedFiles,
    FileChatRequest,
    FileDetails,
    FoundDocument,
    KnowledgeBaseChatRequest,
    KnowledgeBaseDetails,
    OpenConversation,
    SearchRequest,
    ServedModelBody,
    TemporaryFiles,
    TemporaryUpload,
    UpdateDocs,
)

_DOWNLOAD = "/knowledge_base/download_doc"
_CHAT_PATHS: Mapping[type, str] = {
    ChatRequest: "/chat/chat",
    FileChatRequest: "/chat/file_chat",
    KnowledgeBaseChatRequest: "/chat/knowledge_base_chat",
}
_SERVICE = "Chatchat API"
_QUICK_SECONDS = 15.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class AnswerPiece:
    """A piece of an answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class AnswerSources:
    """The passages an answer cites, and the stand-alone query that found them."""

    citations: tuple[CitationBody, ...]
    query: str


AnswerEvent = AnswerPiece | AnswerSources


@dataclass(frozen=True, slots=True)
class FileToUpload:
    """A file and the name it gets in the base."""

    name: str
    content: BinaryIO


class ChatchatClient:
    """Talks to services/api. Safe to share between threads.

    All methods raise the failure the API named, with the API's sentence in the asked language as its note (`said`);
    `ServiceUnreachable` when there is no answer, and `TookTooLong` when it came too late.

    Args:
        base_url: of the API.
        timeout_seconds: longest wait for the next byte of an answer or for an upload.
        key: access key, when the API asks for one.
        language: of the API's sentences: "zh-CN" or "en".
    """

    def __init__(
        self, base_url: str, *, timeout_seconds: float, key: SecretStr | None = None, language: str = "zh-CN"
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout_seconds
        self._signer = None if key is None else LinkSigner(key)
        self._http = sync_client(self._base_url, timeout_seconds=timeout_seconds, key=key)
        self._http.headers["accept-language"] = language

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def models(self) -> list[ServedModelBody]:
        """Every configured model and whether it runs."""
        return self._get("/models", TypeAdapter(list[ServedModelBody]))

    def knowledge_bases(self) -> list[KnowledgeBaseDetails]:
        """Every knowledge base."""
        return self._get("/knowledge_base/details", TypeAdapter(list[KnowledgeBaseDetails]))

    def create_knowledge_base(self, wanted: CreateKnowledgeBase) -> None:
        """Create an empty base."""
        self._post("/knowledge_base/create_knowledge_base", wanted.model_dump(exclude_none=True))

    def delete_knowledge_base(self, name: str) -> None:
        """Delete a base with its files."""
        self._post("/knowledge_base/delete_knowledge_base", name)

    def files(self, base: str) -> list[FileDetails]:
        """Every file of a base."""
        query = urlencode({"knowledge_base_name": base})
        return self._get(f"/knowledge_base/files?{query}", TypeAdapter(list[FileDetails]))

    def supported_extensions(self) -> list[str]:
        """Extensions of the files that can be read, with their dot."""
        return self._get("/knowledge_base/supported_files", TypeAdapter(list[str]))

    def upload(self, base: str, file: FileToUpload, *, override: bool, wait: bool = True) -> dict[str, str]:
        """Store and index one file; file name → sentence of what failed.

        Returns when the file is searchable or, without `wait`, when it is stored; `files` tells of the rest.
        """
        request = self._http.build_request(
            "POST",
            "/knowledge_base/upload_docs",
            files={"files": (file.name, file.content, "application/octet-stream")},
            data={"knowledge_base_name": base, "override": str(override).lower(), "wait": str(wait).lower()},
        )
        return _shaped(TypeAdapter(FailedFiles), self._value(request)).failed_files

    def reindex(self, base: str, names: Sequence[str]) -> dict[str, str]:
        """Index files again; file name → sentence of what failed."""
        body = UpdateDocs(knowledge_base_name=base, file_names=list(names))
        return self._failed_files("/knowledge_base/update_docs", body)

    def cancel_indexing(self, base: str, names: Sequence[str]) -> dict[str, str]:
        """Give up indexing files; file name → sentence of what failed."""
        return self._failed_files(
            "/knowledge_base/cancel_docs", CancelDocs(knowledge_base_name=base, file_names=[*names])
        )

    def delete_files(self, base: str, names: Sequence[str]) -> dict[str, str]:
        """Delete files with their content; file name → sentence of what failed."""
        body = DeleteDocs(knowledge_base_name=base, file_names=list(names), delete_content=True)
        return self._failed_files("/knowledge_base/delete_docs", body)

    def download_url(self, base: str, file_name: str) -> str:
        """Where a person's browser gets the source file."""
        asked = urlencode({"knowledge_base_name": base, "file_name": file_name})
        return self.link(f"{self._base_url}{_DOWNLOAD}?{asked}")

    def link(self, url: str) -> str:
        """A link to a source file as a browser, which shows no key, may follow it for hours; any other as it is."""
        if self._signer is None or not url.startswith(f"{self._base_url}{_DOWNLOAD}?"):
            return url
        return self._signer.sign(url, root=urlsplit(self._base_url).path)

    def search(self, wanted: SearchRequest) -> list[FoundDocument]:
        """Passages for a query, best first."""
        body = wanted.model_dump(include=wanted.model_fields_set)
        request = self._http.build_request("POST", "/knowledge_base/search_docs", json=body)
        return _shaped(TypeAdapter(list[FoundDocument]), _decoded(self._sent(request)))

    def open_conversation(self, owner: str, title: str) -> ConversationBody:
        """Open a conversation."""
        body = OpenConversation(owner=owner, title=title).model_dump()
        return _shaped(TypeAdapter(ConversationBody), self._post("/conversations", body))

    def conversations(self, owner: str) -> list[ConversationBody]:
        """The owner's conversations, newest first."""
        found = self._get(f"/conversations?{urlencode({'owner': owner})}", TypeAdapter(list[ConversationBody]))
        return sorted(found, key=lambda conversation: conversation.updated_at, reverse=True)

    def conversation(self, ident: str) -> ConversationWithTurns:
        """A conversation with its turns."""
        return self._get(f"/conversations/{quote(ident, safe='')}", TypeAdapter(ConversationWithTurns))

    def delete_conversation(self, ident: str) -> None:
        """Delete a conversation with its turns."""
        self._value(self._http.build_request("DELETE", f"/conversations/{quote(ident, safe='')}"))

    def upload_temporary(self, files: Sequence[FileToUpload], *, previous: str | None = None) -> TemporaryUpload:
        """Store and index files for a file chat, beside those of the id `previous`; the id, and what failed.

        Raises TemporaryFilesNotFound when the files of `previous` are kept no longer.
        """
        request = self._http.build_request(
            "POST",
            "/knowledge_base/upload_temp_docs",
            files=[("files", (file.name, file.content, "application/octet-stream")) for file in files],
            data={} if previous is None else {"prev_id": previous},
        )
        return _shaped(TypeAdapter(TemporaryUpload), self._value(request))

    def temporary_files(self, ident: str) -> TemporaryFiles:
        """The files of a file chat, how far they have got, and until when they are kept."""
        query = urlencode({"knowledge_id": ident})
        return self._get(f"/knowledge_base/temp_docs?{query}", TypeAdapter(TemporaryFiles))

    def delete_temporary(self, ident: str) -> None:
        """Forget the files of a file chat at once."""
        self._post("/knowledge_base/delete_temp_docs", {"knowledge_id": ident})

    def answer(self, asked: ChatRequest | KnowledgeBaseChatRequest | FileChatRequest) -> AnswerStream:
        """Ask for a streamed answer. Nothing is sent before the stream is iterated."""
        path = _CHAT_PATHS[type(asked)]
        body = {**asked.model_dump(include=asked.model_fields_set), "stream": True}
        return AnswerStream(self._http, self._http.build_request("POST", path, json=body), self._timeout)

    def _failed_files(self, path: str, body: BaseModel) -> dict[str, str]:
        failed = self._post(path, body.model_dump(exclude_none=True))
        return _shaped(TypeAdapter(FailedFiles), failed).failed_files

    def _get(self, path: str, shape: TypeAdapter[_T]) -> _T:
        return _shaped(shape, self._value(self._http.build_request("GET", path, timeout=_QUICK_SECONDS)))

    def _post(self, path: str, body: JsonValue) -> JsonValue:
        return self._value(self._http.build_request("POST", path, json=body))

    def _value(self, request: httpx.Request) -> JsonValue:
        parsed = _decoded(self._sent(request))
        return parsed.get("data") if isinstance(parsed, Mapping) else None

    def _sent(self, request: httpx.Request) -> httpx.Response:
        try:
            return self._http.send(request)
        except httpx.HTTPError as failure:
            raise unreachable(_SERVICE, self._base_url, self._timeout, failure) from failure


class AnswerStream:
    """An answer on its way: iterate it once. `close` ends it from any thread, even while the next piece is awaited."""

    def __init__(self, http: httpx.Client, request: httpx.Request, timeout_seconds: float) -> None:
        self._http = http
        self._request = request
        self._timeout = timeout_seconds
        self._lock = threading.Lock()
        self._closed = False
        self._socket: socket.socket | None = None

    def __iter__(self) -> Iterator[AnswerEvent]:
        try:
            response = self._http.send(self._request, stream=True)
            with contextlib.closing(response):
                if self._adopt(response):
                    yield from self._events(response)
                self._release()
        except httpx.HTTPError as failure:
            self._release()
            if not self._closed:
                raise unreachable(_SERVICE, str(self._http.base_url), self._timeout, failure) from failure

    def close(self) -> None:
        """End the stream: the API sees the disconnect at once, and the iterator ends without a failure."""
        with self._lock:
            self._closed = True
            if self._socket is not None:
                # A plain close would not wake the thread that waits for the next byte.
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _adopt(self, response: httpx.Response) -> bool:
        with self._lock:
            self._socket = response.extensions["network_stream"].get_extra_info("socket")
            return not self._closed

    def _release(self) -> None:
        """Forget the socket before it goes back to the pool, where another request may get it."""
        with self._lock:
            self._socket = None

    def _events(self, response: httpx.Response) -> Iterator[AnswerEvent]:
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.read()
            _decoded(response)
            raise ChatchatError(reason="the API answered a question with something that is no stream of events")
        for text in read_events_sync(split_lines_sync(response.iter_bytes())):
            yield from _answer_events(text)


def said(failure: ChatchatError) -> str | None:
    """The sentence the API gave with a failure, in the asked language; None when the failure is not the API's."""
    notes: list[str] = getattr(failure, "__notes__", [])
    return notes[0] if notes else None


def _answer_events(text: str) -> Iterator[AnswerEvent]:
    try:
        event: JsonValue = json.loads(text)
    except ValueError as failure:
        raise ChatchatError(reason="an event of the answer is not JSON") from failure
    failed = _failure(event, 200)
    if failed is not None:
        raise failed
    if not isinstance(event, Mapping):
        return
    piece = event.get("answer", event.get("text"))
    if isinstance(piece, str) and piece:
        yield AnswerPiece(piece)
    if "citations" in event:
        citations = _shaped(TypeAdapter(tuple[CitationBody, ...]), event["citations"])
        yield AnswerSources(citations, str(event.get("query") or ""))


def _decoded(answer: httpx.Response) -> JsonValue:
    """The JSON of an answer that is no failure."""
    try:
        parsed: JsonValue = json.loads(answer.content)
    except ValueError:
        parsed = None
    failure = _failure(parsed, answer.status_code)
    if failure is not None:
        raise failure
    return parsed


def _failure(parsed: JsonValue, status: int) -> ChatchatError | None:
    body = parsed if isinstance(parsed, Mapping) else {}
    code, sentence = body.get("code", 200), body.get("msg")
    if code == 200 and status < 400 and "error" not in body:
        return None
    failure = failure_in(parsed) or ChatchatError(reason=str(sentence or body.get("detail") or f"HTTP {status}"))
    if isinstance(sentence, str) and sentence:
        failure.add_note(sentence)
    return failure


def _shaped(shape: TypeAdapter[_T], value: JsonValue) -> _T:
    try:
        return shape.validate_python(value)
    except ValidationError as failure:
        raise ChatchatError(reason="the API's answer has an unexpected shape; is it of another version?") from failure
