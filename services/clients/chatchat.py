"""ChatchatClient: the chatchat API for synchronous callers (the web UI and scripts)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx
from pydantic import BaseModel, JsonValue, SecretStr, TypeAdapter

from services.clients.answers import (
    SERVICE,
    AnswerEvent,
    AnswerPiece,
    AnswerSources,
    AnswerStream,
    EventStream,
    FileSummarised,
    decoded,
    said,
    shaped,
    summary_events,
)
from services.clients.transport import sync_client, unreachable
from services.foundation.access import LinkSigner
from services.wire.chatchat import (
    AnsweringOptions,
    BaseAnswering,
    CancelDocs,
    ChatRequest,
    ChunksSummary,
    ConversationBody,
    ConversationWithTurns,
    CreateKnowledgeBase,
    DeleteDocs,
    ExplainedSearch,
    FailedFiles,
    FileChatRequest,
    FileDetails,
    FoundDocument,
    KnowledgeBaseChatRequest,
    KnowledgeBaseDetails,
    OpenConversation,
    SearchRequest,
    ServedModelBody,
    SummariseBase,
    SummariseChunks,
    SummariseFile,
    SummaryRequest,
    TemporaryFiles,
    TemporaryUpload,
    UpdateAnswering,
    UpdateDocs,
)

__all__ = [
    "AnswerEvent",
    "AnswerPiece",
    "AnswerSources",
    "AnswerStream",
    "ChatchatClient",
    "EventStream",
    "FileSummarised",
    "FileToUpload",
    "said",
]

_SUMMARIES = "/knowledge_base/kb_summary_api"
_DOWNLOAD = "/knowledge_base/download_doc"
_CHAT_PATHS: Mapping[type, str] = {
    ChatRequest: "/chat/chat",
    FileChatRequest: "/chat/file_chat",
    KnowledgeBaseChatRequest: "/chat/knowledge_base_chat",
}
_QUICK_SECONDS = 15.0
_T = TypeVar("_T")


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

    def answering_options(self) -> AnsweringOptions:
        """What a question may choose by name, and what holds where it does not."""
        return self._get("/server/answering", TypeAdapter(AnsweringOptions))

    def knowledge_bases(self) -> list[KnowledgeBaseDetails]:
        """Every knowledge base."""
        return self._get("/knowledge_base/details", TypeAdapter(list[KnowledgeBaseDetails]))

    def create_knowledge_base(self, wanted: CreateKnowledgeBase) -> None:
        """Create an empty base."""
        self._post("/knowledge_base/create_knowledge_base", wanted.model_dump(exclude_none=True))

    def delete_knowledge_base(self, name: str) -> None:
        """Delete a base with its files."""
        self._post("/knowledge_base/delete_knowledge_base", name)

    def choose_answering(self, name: str, answering: BaseAnswering) -> None:
        """Say how questions to a base are answered; what it said before is forgotten."""
        self._post(
            "/knowledge_base/update_answering",
            UpdateAnswering(knowledge_base_name=name, answering=answering).model_dump(),
        )

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
        return shaped(TypeAdapter(FailedFiles), self._value(request)).failed_files

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
        return shaped(TypeAdapter(list[FoundDocument]), decoded(self._sent(request)))

    def explain_search(self, wanted: SearchRequest) -> ExplainedSearch:
        """Passages for a query, best first, and why they were found."""
        body = wanted.model_dump(include=wanted.model_fields_set)
        return shaped(TypeAdapter(ExplainedSearch), self._post("/knowledge_base/explain_search", body))

    def open_conversation(self, owner: str, title: str) -> ConversationBody:
        """Open a conversation."""
        body = OpenConversation(owner=owner, title=title).model_dump()
        return shaped(TypeAdapter(ConversationBody), self._post("/conversations", body))

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
        return shaped(TypeAdapter(TemporaryUpload), self._value(request))

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

    def summarise_file(self, wanted: SummariseFile) -> FileSummarised:
        """Have a file summarised; its summary is listed with it from then on."""
        (done,) = self._summaries("summary_file_to_vector_store", wanted)
        return done

    def summarise_base(self, wanted: SummariseBase) -> EventStream[FileSummarised]:
        """Have every file of a base summarised, one after the other; closing the stream stops it."""
        return self._summaries("recreate_summary_vector_store", wanted)

    def summarise_chunks(self, wanted: SummariseChunks) -> str:
        """A summary of some passages; it is not kept."""
        body = wanted.model_dump(include=wanted.model_fields_set)
        found = shaped(TypeAdapter(ChunksSummary), self._post(f"{_SUMMARIES}/summary_doc_ids_to_vector_store", body))
        return found.summarize[0].page_content

    def _summaries(self, name: str, wanted: SummaryRequest) -> EventStream[FileSummarised]:
        body = wanted.model_dump(include=wanted.model_fields_set)
        request = self._http.build_request("POST", f"{_SUMMARIES}/{name}", json=body)
        return EventStream(self._http, request, self._timeout, summary_events)

    def _failed_files(self, path: str, body: BaseModel) -> dict[str, str]:
        failed = self._post(path, body.model_dump(exclude_none=True))
        return shaped(TypeAdapter(FailedFiles), failed).failed_files

    def _get(self, path: str, shape: TypeAdapter[_T]) -> _T:
        return shaped(shape, self._value(self._http.build_request("GET", path, timeout=_QUICK_SECONDS)))

    def _post(self, path: str, body: JsonValue) -> JsonValue:
        return self._value(self._http.build_request("POST", path, json=body))

    def _value(self, request: httpx.Request) -> JsonValue:
        parsed = decoded(self._sent(request))
        return parsed.get("data") if isinstance(parsed, Mapping) else None

    def _sent(self, request: httpx.Request) -> httpx.Response:
        try:
            return self._http.send(request)
        except httpx.HTTPError as failure:
            raise unreachable(SERVICE, self._base_url, self._timeout, failure) from failure
