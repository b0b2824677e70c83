"""All /knowledge_base/* endpoints: parse, ask the service, render."""

from __future__ import annotations

import asyncio
import json
import mimetypes
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body, Depends, File, Form, Query, Request, UploadFile
from fastapi.responses import FileResponse
from sse_starlette import EventSourceResponse

from services.api.domain import knowledge
from services.api.domain.knowledge import KnowledgeFile, Splitting
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.domain.ports import Retriever
from services.api.knowledge.fingerprint import likenesses
from services.api.knowledge.orders import NewKnowledgeBase, Upload
from services.api.knowledge.outcomes import failures
from services.api.knowledge.rebuilding import reindex
from services.api.knowledge.render import (
    base_details,
    file_details,
    preview_body,
    reindexed_event,
    with_summary,
)
from services.api.knowledge.search_routes import SearchRoutes
from services.api.knowledge.service import KnowledgeService
from services.foundation.errors import ChatchatError, InvalidRequest, KnowledgeBaseNotFound
from services.foundation.http import envelope_body, language_of, request_id_of
from services.foundation.sse import closing, event_response
from services.wire.chatchat import (
    CancelDocs,
    CreateKnowledgeBase,
    DeleteDocs,
    Envelope,
    RecreateVectorStore,
    UpdateDocs,
)

_INLINE = {"application/pdf", "text/plain", "text/csv", "text/markdown"}
_NO_SNIFF = {"X-Content-Type-Options": "nosniff"}
# What is not a PDF must not run as a page of ours; a sandboxed PDF would not be shown at all.
_SANDBOX = {**_NO_SNIFF, "Content-Security-Policy": "sandbox; default-src 'none'"}
TAG = "Knowledge Base Management"


@dataclass(frozen=True, slots=True)
class Presentation:
    """What the endpoints need beside the service.

    Attributes:
        supported: extensions a loader stands for.
        language: of sentences when the client names none.
        min_similarity: cut of a search that names none.
    """

    supported: Sequence[str]
    language: str
    min_similarity: float


@dataclass(frozen=True, slots=True)
class UploadForm:
    """The form fields of an upload beside its files."""

    override: bool
    to_vector_store: bool
    wait: bool
    splitting: Splitting


def splitting_form(
    *,
    text_splitter: Annotated[str | None, Form(description="by its name; as the base says, if left out")] = None,
    chunk_size: Annotated[int | None, Form(ge=20, le=4000)] = None,
    chunk_overlap: Annotated[int | None, Form(ge=0)] = None,
) -> Splitting:
    """Collect the form fields that say how files are cut."""
    return Splitting(text_splitter, chunk_size, chunk_overlap)


def upload_form(
    *,
    override: Annotated[bool, Form()] = False,
    to_vector_store: Annotated[bool, Form()] = True,
    wait: Annotated[bool, Form(description="answer when the files are searchable, not when they are stored")] = True,
    splitting: Annotated[Splitting, Depends(splitting_form)],
) -> UploadForm:
    """Collect the form fields of an upload."""
    return UploadForm(override, to_vector_store, wait, splitting)


def router(service: KnowledgeService, retriever: Retriever, presentation: Presentation) -> APIRouter:
    """The endpoints over a service and a retriever."""
    bases, files = _Bases(service, presentation), _Files(service, presentation)
    search = SearchRoutes(service, retriever, presentation.min_similarity)
    routes = APIRouter(prefix="/knowledge_base", tags=[TAG])
    for method, path, endpoint in (
        ("GET", "/list_knowledge_bases", bases.list_knowledge_bases),
        ("GET", "/details", bases.details),
        ("POST", "/create_knowledge_base", bases.create_knowledge_base),
        ("POST", "/delete_knowledge_base", bases.delete_knowledge_base),
        ("GET", "/list_files", files.list_files),
        ("GET", "/files", files.files),
        ("GET", "/supported_files", files.supported_files),
        ("POST", "/search_docs", search.search_docs),
        ("POST", "/explain_search", search.explain_search),
        ("POST", "/upload_docs", files.upload_docs),
        ("POST", "/preview_docs", files.preview_docs),
        ("POST", "/update_docs", files.update_docs),
        ("POST", "/cancel_docs", files.cancel_docs),
        ("POST", "/delete_docs", files.delete_docs),
    ):
        routes.add_api_route(path, endpoint, methods=[method])
    routes.add_api_route(
        "/recreate_vector_store", bases.recreate_vector_store, methods=["POST"], response_class=EventSourceResponse
    )
    routes.add_api_route("/download_doc", files.download_doc, methods=["GET"], response_class=FileResponse)
    return routes


class _Bases:
    """Endpoints about whole bases."""

    def __init__(self, service: KnowledgeService, presentation: Presentation) -> None:
        self._service = service
        self._language = presentation.language

    async def list_knowledge_bases(self) -> Envelope:
        return Envelope(data=[base.name.value for base, _ in await self._service.bases()])

    async def details(self) -> Envelope:
        return Envelope(data=[base_details(base, count).model_dump() for base, count in await self._service.bases()])

    async def create_knowledge_base(self, body: CreateKnowledgeBase) -> Envelope:
        base = await self._service.create(
            NewKnowledgeBase(
                name=KnowledgeBaseName.parse(body.knowledge_base_name),
                description=body.kb_info,
                embedding_model=body.embed_model,
                vector_store=body.vector_store_type,
                splitting=Splitting(body.text_splitter, body.chunk_size, body.chunk_overlap),
            )
        )
        return Envelope(msg=f"已新增知识库 {base.name}")

    async def delete_knowledge_base(self, knowledge_base_name: Annotated[str, Body(examples=["samples"])]) -> Envelope:
        name = KnowledgeBaseName.parse(knowledge_base_name)
        await self._service.delete(name)
        return Envelope(msg=f"成功删除知识库 {name}")

    async def recreate_vector_store(self, body: RecreateVectorStore, request: Request) -> EventSourceResponse:
        """Index every file in the base's folder again, an event for each. Until a file is done its old passages answer.

        The files go on being indexed when the client leaves.
        """
        request_id, language = request_id_of(request), language_of(request, self._language)
        base = await self._to_rebuild(body)
        splitting = Splitting(None, body.chunk_size, body.chunk_overlap)

        async def lines() -> AsyncIterator[str]:
            async with closing(reindex(self._service, base, splitting)) as outcomes:
                async for done in outcomes:
                    yield reindexed_event(base.name, done, language)

        def failure(error: ChatchatError) -> str:
            return json.dumps(envelope_body(error, request_id, language), ensure_ascii=False)

        return event_response(lines(), failure=failure)

    async def _to_rebuild(self, body: RecreateVectorStore) -> knowledge.KnowledgeBase:
        """The base, made if that is allowed. One that exists keeps its embedding model and its vector store."""
        name = KnowledgeBaseName.parse(body.knowledge_base_name)
        try:
            base = await self._service.get(name)
        except KnowledgeBaseNotFound:
            if not body.allow_empty_kb:
                raise
            wanted = NewKnowledgeBase(name, embedding_model=body.embed_model, vector_store=body.vs_type)
            return await self._service.create(wanted)
        if body.embed_model not in {None, base.embedding_model}:
            reason = (
                f"{base.name} is embedded with {base.embedding_model!r}, and vectors of two models do not mix; "
                f"to rebuild it with another one, run init_database.py -r -n {base.name} -e MODEL"
            )
            raise InvalidRequest(field="embed_model", reason=reason)
        if body.vs_type not in {None, base.vector_store}:
            raise InvalidRequest(
                field="vs_type", reason=f"the vectors of {base.name} are kept in {base.vector_store!r}"
            )
        return base


class _Files:
    """Endpoints about files."""

    def __init__(self, service: KnowledgeService, presentation: Presentation) -> None:
        self._service = service
        self._supported = list(presentation.supported)
        self._language = presentation.language

    async def list_files(self, knowledge_base_name: str) -> Envelope:
        found = await self._service.files(KnowledgeBaseName.parse(knowledge_base_name))
        return Envelope(data=[file.name.value for file in found])

    async def files(self, knowledge_base_name: str, request: Request) -> Envelope:
        language = language_of(request, self._language)
        name = KnowledgeBaseName.parse(knowledge_base_name)
        found, progress = await self._service.files(name), await self._service.progress(name)
        alike, summaries = await asyncio.to_thread(likenesses, found), await self._service.summaries(name)
        details = [
            with_summary(file_details(file, language, progress.get(file.id), alike[file.id]), summaries.get(file.id))
            for file in found
        ]
        return Envelope(data=[one.model_dump() for one in details])

    async def supported_files(self) -> Envelope:
        return Envelope(data=list(self._supported))

    async def upload_docs(
        self,
        request: Request,
        knowledge_base_name: Annotated[str, Form()],
        files: Annotated[list[UploadFile], File(min_length=1)],
        form: Annotated[UploadForm, Depends(upload_form)],
    ) -> Envelope:
        """Store and index files; returns when they are searchable, with a sentence for each file that is not.

        With `wait` off it returns when they are stored; GET /knowledge_base/files tells how far they have got.
        """
        name = KnowledgeBaseName.parse(knowledge_base_name)
        await self._service.get(name)
        work = [(file.filename or "", partial(self._add, name, file, form)) for file in files]
        failed = await failures(work, language_of(request, self._language))
        return Envelope(msg="文件上传与向量化完成", data={"failed_files": failed})

    async def _add(self, name: KnowledgeBaseName, file: UploadFile, form: UploadForm) -> KnowledgeFile:
        parsed = FileName.parse(file.filename)
        upload = Upload(parsed, file.file, form.override, form.to_vector_store, form.wait, form.splitting)
        return await self._service.add_file(name, upload)

    async def preview_docs(
        self, file: Annotated[UploadFile, File()], form: Annotated[UploadForm, Depends(upload_form)]
    ) -> Envelope:
        """What a file would be cut into; nothing is kept."""
        name = FileName.parse(file.filename)
        parsed = await self._service.preview(Upload(name, file.file, splitting=form.splitting))
        return Envelope(data=preview_body(name, parsed).model_dump())

    async def update_docs(self, body: UpdateDocs, request: Request) -> Envelope:
        """Index files again, from the content that lies in the base's folder."""
        name = KnowledgeBaseName.parse(body.knowledge_base_name)
        await self._service.get(name)
        splitting = Splitting(body.text_splitter, body.chunk_size, body.chunk_overlap)
        work = [(file, partial(self._adopt, name, file, splitting)) for file in dict.fromkeys(body.file_names)]
        failed = await failures(work, language_of(request, self._language))
        return Envelope(msg="更新文档完成", data={"failed_files": failed})

    async def _adopt(self, name: KnowledgeBaseName, file: str, splitting: Splitting) -> KnowledgeFile:
        return await self._service.adopt(name, FileName.parse(file), splitting)

    async def cancel_docs(self, body: CancelDocs, request: Request) -> Envelope:
        """Give up indexing files; what was found of them before is found still."""
        name = KnowledgeBaseName.parse(body.knowledge_base_name)
        await self._service.get(name)
        work = [(file, partial(self._cancel, name, file)) for file in dict.fromkeys(body.file_names)]
        failed = await failures(work, language_of(request, self._language))
        return Envelope(data={"failed_files": failed})

    async def _cancel(self, name: KnowledgeBaseName, file: str) -> None:
        await self._service.cancel(name, FileName.parse(file))

    async def delete_docs(self, body: DeleteDocs, request: Request) -> Envelope:
        name = KnowledgeBaseName.parse(body.knowledge_base_name)
        await self._service.get(name)
        work = [(file, partial(self._remove, name, file, body)) for file in dict.fromkeys(body.file_names)]
        failed = await failures(work, language_of(request, self._language))
        return Envelope(msg="文件删除完成", data={"failed_files": failed})

    async def _remove(self, name: KnowledgeBaseName, file: str, body: DeleteDocs) -> None:
        await self._service.remove_file(name, FileName.parse(file), delete_content=body.delete_content)

    async def download_doc(
        self, knowledge_base_name: str, file_name: str, *, preview: Annotated[bool, Query()] = False
    ) -> FileResponse:
        """The source file; with `preview`, shown in the browser where that is safe."""
        name = FileName.parse(file_name)
        path = await self._service.stored_path(KnowledgeBaseName.parse(knowledge_base_name), name)
        media_type = mimetypes.guess_type(name.value)[0] or "application/octet-stream"
        inline = preview and media_type in _INLINE
        return FileResponse(
            path,
            media_type="text/plain" if inline and media_type.startswith("text/") else media_type,
            filename=name.value,
            content_disposition_type="inline" if inline else "attachment",
            headers=_NO_SNIFF if media_type == "application/pdf" else _SANDBOX,
        )
