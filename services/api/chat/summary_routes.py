"""All /knowledge_base/kb_summary_api/* endpoints: 0.2.10's names; what they make is kept and listed with the files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from fastapi import APIRouter, Request
from pydantic import JsonValue
from sse_starlette import EventSourceResponse

from services.api.chat.file_summaries import FileSummariser, SummaryOutcome
from services.api.chat.render import event_text
from services.api.chat.responding import ChatDefaults, respond
from services.api.chat.summarising import SummaryOrder
from services.api.domain.answering import Sampling
from services.api.domain.knowledge import FileSummary, KnowledgeBase
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.knowledge.render import summary_body
from services.api.knowledge.service import KnowledgeService
from services.foundation.errors import ChatchatError, KnowledgeBaseNotFound
from services.foundation.http import error_facts, language_of, request_id_of, sentence, while_connected
from services.foundation.sse import closing
from services.wire.chatchat import Envelope, SummariseBase, SummariseChunks, SummariseFile, SummaryRequest

_STREAM: dict[int | str, dict[str, object]] = {200: {"content": {"text/event-stream": {}}}}


def router(knowledge: KnowledgeService, summariser: FileSummariser, defaults: ChatDefaults) -> APIRouter:
    """The endpoints over their parts."""
    summaries = _Summaries(knowledge, summariser, defaults)
    routes = APIRouter(prefix="/knowledge_base/kb_summary_api", tags=["Knowledge kb_summary_api Management"])
    for path, endpoint in (
        ("/summary_file_to_vector_store", summaries.summary_file_to_vector_store),
        ("/recreate_summary_vector_store", summaries.recreate_summary_vector_store),
    ):
        routes.add_api_route(path, endpoint, methods=["POST"], response_class=EventSourceResponse, responses=_STREAM)
    routes.add_api_route(
        "/summary_doc_ids_to_vector_store", summaries.summary_doc_ids_to_vector_store, methods=["POST"]
    )
    return routes


class _Summaries:
    """The 0.2.10 endpoints. A client that leaves stops what is being summarised for it; what is done stays."""

    def __init__(self, knowledge: KnowledgeService, summariser: FileSummariser, defaults: ChatDefaults) -> None:
        self._knowledge = knowledge
        self._summariser = summariser
        self._defaults = defaults

    async def summary_file_to_vector_store(self, body: SummariseFile, request: Request) -> EventSourceResponse:
        """Summarise a file and keep the summary: one event."""
        base = await self._knowledge.get(KnowledgeBaseName.parse(body.knowledge_base_name))
        name, order, failed = FileName.parse(body.file_name), self._order(body), self._failed(base, request)

        async def lines() -> AsyncIterator[str]:
            try:
                summary = await self._summariser.of_file(base, name, order)
            except ChatchatError as failure:
                yield failed(name, failure)
            else:
                yield event_text({"code": 200, "msg": f"{name} 总结完成", "doc": name.value, **_body(summary)})

        return respond(lines(), request, self._defaults.language)

    async def recreate_summary_vector_store(self, body: SummariseBase, request: Request) -> EventSourceResponse:
        """Summarise each file of a base anew: an event for each. The old summaries stay until there are new ones."""
        order = self._order(body)
        try:
            base = await self._knowledge.get(KnowledgeBaseName.parse(body.knowledge_base_name))
        except KnowledgeBaseNotFound:
            if not body.allow_empty_kb:
                raise
            return respond(_nothing(), request, self._defaults.language)
        failed = self._failed(base, request)

        async def lines() -> AsyncIterator[str]:
            async with closing(self._summariser.of_base(base, order)) as outcomes:
                async for done in outcomes:
                    yield _done(done) if done.failure is None else failed(done.file, done.failure)

        return respond(lines(), request, self._defaults.language)

    async def summary_doc_ids_to_vector_store(self, body: SummariseChunks, request: Request) -> Envelope:
        """Summarise the passages of these ids; as in 0.2.10 nothing is kept, despite the name."""
        order, name = self._order(body), KnowledgeBaseName.parse(body.knowledge_base_name)
        written = await while_connected(request, self._summariser.of_chunks(name, body.doc_ids, order))
        metadata: dict[str, JsonValue] = {
            "file_description": body.file_description,
            "summary_intermediate_steps": {"intermediate_steps": list(written.parts)},
            "doc_ids": ",".join(body.doc_ids),
            "kind": "quoted" if written.is_quoted else "written",
        }
        document: dict[str, JsonValue] = {"page_content": written.text, "metadata": metadata, "type": "Document"}
        return Envelope(msg="总结完成", data={"summarize": [document]})

    def _order(self, body: SummaryRequest) -> SummaryOrder:
        limit = body.max_tokens if body.max_tokens and body.max_tokens > 0 else None
        model = body.model_name or self._defaults.model
        return SummaryOrder(model, Sampling(body.temperature, limit), body.file_description)

    def _failed(self, base: KnowledgeBase, request: Request) -> _Failed:
        return _Failed(base.name, request_id_of(request), language_of(request, self._defaults.language))


class _Failed:
    """Renders the failure of one file as an event; the stream goes on."""

    def __init__(self, base: KnowledgeBaseName, request_id: str, language: str) -> None:
        self._base = base
        self._request_id = request_id
        self._language = language

    def __call__(self, file: FileName, failure: ChatchatError) -> str:
        reason = sentence(failure, self._language).rstrip("。.")
        said = f"知识库'{self._base}'总结文件‘{file}’时出错：{reason}。已跳过。"
        facts = error_facts(failure, self._request_id)
        return event_text({"code": 500, "msg": said, "doc": file.value, "error": facts})


def _done(outcome: SummaryOutcome) -> str:
    return event_text(
        {
            "code": 200,
            "msg": f"({outcome.finished} / {outcome.total}): {outcome.file}",
            "total": outcome.total,
            "finished": outcome.finished,
            "doc": outcome.file.value,
            **_body(outcome.summary),
        }
    )


def _body(summary: FileSummary | None) -> Mapping[str, JsonValue]:
    return {} if summary is None else {"summary": summary_body(summary).model_dump()}


async def _nothing() -> AsyncIterator[str]:
    none: tuple[str, ...] = ()
    for line in none:
        yield line
