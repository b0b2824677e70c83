"""The files of a file chat over HTTP: upload_temp_docs, and ours to look at them and to delete them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from pydantic import JsonValue

from services.api.domain.knowledge import FileState, KnowledgeFile, Splitting
from services.api.domain.names import FileName, TemporaryId
from services.api.knowledge.orders import Upload
from services.api.knowledge.outcomes import failures
from services.api.knowledge.render import file_details
from services.api.knowledge.routes import splitting_form
from services.api.knowledge.temporary import TemporaryBase, TemporaryBases
from services.foundation.http import language_of
from services.foundation.settings.tree import Temporary
from services.wire.chatchat import DeleteTemporaryFiles, Envelope, TemporaryFiles, TemporaryUpload


def previous_form(
    *,
    prev_id: Annotated[str | None, Form(description="前知识库ID")] = None,
    knowledge_id: Annotated[str | None, Form(description="what 0.2.10's own web UI sent, and was not heard")] = None,
) -> str | None:
    """The id that files are to be added to, if any."""
    return prev_id or knowledge_id or None


def router(temporary: TemporaryBases, limits: Temporary, language: str) -> APIRouter:
    """The endpoints over temporary bases; `language`: of sentences when the client names none."""
    files = _Files(temporary, limits, language)
    routes = APIRouter(prefix="/knowledge_base", tags=["Knowledge Base Management"])
    routes.add_api_route("/upload_temp_docs", files.upload_temp_docs, methods=["POST"])
    routes.add_api_route("/temp_docs", files.temp_docs, methods=["GET"])
    routes.add_api_route("/delete_temp_docs", files.delete_temp_docs, methods=["POST"])
    return routes


class _Files:
    """Endpoints about temporary files."""

    def __init__(self, temporary: TemporaryBases, limits: Temporary, language: str) -> None:
        self._temporary = temporary
        self._limits = limits
        self._language = language

    async def upload_temp_docs(
        self,
        request: Request,
        files: Annotated[list[UploadFile], File(min_length=1, description="上传文件，支持多文件")],
        previous: Annotated[str | None, Depends(previous_form)],
        splitting: Annotated[Splitting, Depends(splitting_form)],
    ) -> Envelope:
        """Store and index files for /chat/file_chat, with those of `prev_id` if that is given; the id answers.

        Returns when they are searchable, or after a while; `pending_files` are those that were not by then.
        """
        opened = await (self._temporary.use(TemporaryId.parse(previous)) if previous else self._temporary.open())
        ends = asyncio.get_running_loop().time() + self._limits.wait_seconds
        pending: list[str] = []

        async def add(file: UploadFile) -> KnowledgeFile:
            upload = Upload(FileName.parse(file.filename), file.file, splitting=splitting)
            stored = await self._temporary.add(opened, upload)
            seconds = ends - asyncio.get_running_loop().time()
            done = await self._temporary.finished(opened, stored, seconds=seconds)
            if done.state is FileState.PENDING:
                pending.append(done.name.value)
            return done

        work = [(file.filename or "", partial(add, file)) for file in files]
        failed = await failures(work, language_of(request, self._language))
        return Envelope(data=_uploaded(opened, failed, pending))

    async def temp_docs(self, knowledge_id: str, request: Request) -> Envelope:
        """The files under an id, and until when they are kept; looking does not make them live longer."""
        opened, files = await self._temporary.look(TemporaryId.parse(knowledge_id))
        language, progress = language_of(request, self._language), await self._temporary.progress(opened)
        details = [file_details(file, language, progress.get(file.id)) for file in files]
        found = TemporaryFiles(id=opened.id.value, expires_at=_until(opened) or "", files=details)
        return Envelope(data=found.model_dump())

    async def delete_temp_docs(self, body: DeleteTemporaryFiles) -> Envelope:
        """Forget the files under an id at once."""
        await self._temporary.delete(TemporaryId.parse(body.knowledge_id))
        return Envelope()


def _uploaded(opened: TemporaryBase, failed: dict[str, JsonValue], pending: list[str]) -> dict[str, JsonValue]:
    body = TemporaryUpload(
        id=opened.id.value,
        failed_files=[{name: str(said)} for name, said in failed.items()],
        pending_files=sorted(pending),
        expires_at=_until(opened),
    )
    return body.model_dump()


def _until(opened: TemporaryBase) -> str | None:
    return None if opened.base.expires_at is None else opened.base.expires_at.isoformat()
