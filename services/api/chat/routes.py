"""All /chat/* endpoints, and a base as an OpenAI endpoint. Parse the body, pick the context, render the events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse

from services.api.chat import render
from services.api.chat.answering import Grounded, Plain
from services.api.chat.asking import Asking
from services.api.chat.choosing import Choosing
from services.api.chat.contexts import KnowledgeContext, Reach
from services.api.chat.recording import TurnHead
from services.api.chat.responding import ChatDefaults, ChatParts, links_base, respond
from services.api.conversations.service import new_turn_id
from services.api.domain.answering import ChatEvent, Manner, Question, Sampling
from services.api.domain.conversation import ConversationId, Message
from services.api.domain.knowledge import AnsweringChoice, KnowledgeBase
from services.api.domain.names import KnowledgeBaseName, TemporaryId
from services.api.domain.retrieval import SearchMode
from services.api.knowledge.render import similarity_floor
from services.api.knowledge.routes import TAG as KNOWLEDGE_TAG
from services.foundation.errors import InvalidRequest
from services.foundation.http import language_of, openai_body, request_id_of, while_connected
from services.foundation.sse import event_response
from services.wire.chatchat import (
    ChatRequest,
    FileChatRequest,
    GroundedChatRequest,
    HistoryItem,
    KnowledgeBaseChatRequest,
)
from services.wire.openai import ChatCompletionRequest

_NO_CHOICE = AnsweringChoice()
_STREAM: dict[int | str, dict[str, object]] = {200: {"content": {"text/event-stream": {}}}}


def router(parts: ChatParts, defaults: ChatDefaults) -> APIRouter:
    """The endpoints over their parts."""
    chat, bases = _Chat(parts, defaults), _OpenAIBase(parts, defaults)
    routes = APIRouter()
    for path, endpoint in (
        ("/chat/chat", chat.chat),
        ("/chat/knowledge_base_chat", chat.knowledge_base_chat),
        ("/chat/file_chat", chat.file_chat),
    ):
        routes.add_api_route(
            path, endpoint, methods=["POST"], tags=["Chat"], response_class=EventSourceResponse, responses=_STREAM
        )
    choosing = Choosing(parts.knowledge, defaults.presets)
    routes.add_api_route(
        "/knowledge_base/update_answering", choosing.update_answering, methods=["POST"], tags=[KNOWLEDGE_TAG]
    )
    routes.add_api_route(
        "/knowledge_base/local_kb/{knowledge_base_name}/chat/completions",
        bases.completions,
        methods=["POST"],
        tags=["OpenAI"],
        response_model=None,
    )
    return routes


class _Chat:
    """The 0.2.10 chat endpoints. Without `stream` they too answer with one server-sent event, as recorded."""

    def __init__(self, parts: ChatParts, defaults: ChatDefaults) -> None:
        self._parts = parts
        self._defaults = defaults

    async def chat(self, body: ChatRequest, request: Request) -> EventSourceResponse:
        turn = new_turn_id()
        asking = self._asking(body)
        question = Question(
            text=_asked(body.query),
            model=body.model_name or self._defaults.model,
            prompt=body.prompt_name,
            history=await self._history(body, asking),
            sampling=asking.sampling(),
            manner=asking.manner(language_of(request, self._defaults.language)),
        )
        events = Plain(self._parts.speaker).answer(question)
        head = TurnHead(
            turn, _conversation(body.conversation_id), "llm_chat", body.query, links_base(request, self._defaults)
        )
        lines = render.chat_events(self._parts.recorder.recorded(events, head), turn, stream=body.stream)
        return respond(lines, request, self._defaults.language)

    async def knowledge_base_chat(self, body: KnowledgeBaseChatRequest, request: Request) -> EventSourceResponse:
        base = await self._parts.knowledge.get(KnowledgeBaseName.parse(body.knowledge_base_name))
        bases = await self._parts.knowledge.with_others(base, body.more_knowledge_bases)
        return self._grounded(body, request, bases, "knowledge_base_chat")

    async def file_chat(self, body: FileChatRequest, request: Request) -> EventSourceResponse:
        """An answer from the files that were uploaded under an id; they are kept for longer from now on."""
        base = await self._parts.temporary.ask(TemporaryId.parse(body.knowledge_id))
        return self._grounded(body, request, [base], "file_chat")

    def _grounded(
        self, body: GroundedChatRequest, request: Request, bases: Sequence[KnowledgeBase], chat_type: str
    ) -> EventSourceResponse:
        asked = "score_threshold" in body.model_fields_set
        floor = similarity_floor(body.score_threshold) if asked else self._defaults.min_similarity
        asking = self._asking(body, bases[0].answering)
        top_k = asking.top_k(body.top_k)
        reach = Reach(top_k, floor, self._defaults.widen_chars, SearchMode(body.search_mode))
        context = KnowledgeContext(self._parts.retriever, bases, reach)
        question = Question(
            text=_asked(body.query),
            model=body.model_name or self._defaults.model,
            prompt=body.prompt_name,
            history=_messages(body.history),
            sampling=asking.sampling(),
            manner=asking.manner(language_of(request, self._defaults.language)),
        )
        events = Grounded(self._parts.speaker, context).answer(question)
        base_url = links_base(request, self._defaults)
        head = TurnHead(new_turn_id(), _conversation(body.conversation_id), chat_type, body.query, base_url)
        recorded = self._parts.recorder.recorded(events, head)
        lines = render.knowledge_events(recorded, base_url, stream=body.stream, explain=body.explain)
        return respond(lines, request, self._defaults.language)

    def _asking(self, body: ChatRequest | GroundedChatRequest, base: AnsweringChoice = _NO_CHOICE) -> Asking:
        model = body.model_name or self._defaults.model
        return Asking(body, model, self._parts.speaker, self._defaults.presets, base)

    async def _history(self, body: ChatRequest, asking: Asking) -> tuple[Message, ...]:
        """The messages sent along, or the conversation's last turns when a number is given."""
        if isinstance(body.history, list) and body.history:
            return _messages(body.history)
        turns = asking.kept_turns(body.history if isinstance(body.history, int) else body.history_len)
        if not body.conversation_id or turns <= 0:
            return ()
        return await self._parts.conversations.history(ConversationId(body.conversation_id), turns=turns)


class _OpenAIBase:
    """A knowledge base for OpenAI clients: base_url=http://…/knowledge_base/local_kb/<name>."""

    def __init__(self, parts: ChatParts, defaults: ChatDefaults) -> None:
        self._parts = parts
        self._defaults = defaults

    async def completions(self, knowledge_base_name: str, body: ChatCompletionRequest, request: Request) -> Response:
        base = await self._parts.knowledge.get(KnowledgeBaseName.parse(knowledge_base_name))
        defaults = self._defaults
        reach = Reach(defaults.top_k, defaults.min_similarity, defaults.widen_chars)
        context = KnowledgeContext(self._parts.retriever, [base], reach)
        language = language_of(request, self._defaults.language)
        question = replace(_openai_question(body), manner=_manner(base.answering, language))
        events: AsyncIterator[ChatEvent] = Grounded(self._parts.speaker, context).answer(question)
        base_url = links_base(request, self._defaults)
        if not body.stream:
            answer = await while_connected(request, render.collect(events))
            whole = render.openai_completion(answer, body.model, base_url)
            return JSONResponse(whole.model_dump())
        include_usage = body.stream_options is not None and body.stream_options.include_usage
        lines = render.openai_events(events, body.model, base_url, include_usage=include_usage)
        request_id = request_id_of(request)
        return event_response(
            lines, failure=lambda error: render.event_text(openai_body(error, request_id)), separator="\n"
        )


def _manner(base: AnsweringChoice, language: str) -> Manner:
    """As the base says; an OpenAI request has no words for it. Its sampling is its own: no preset of the base's."""
    return Manner(
        when_nothing_found=base.when_nothing_found,
        sufficient_relevance=base.sufficient_relevance,
        strategy=base.strategy,
        language=language,
    )


def _openai_question(body: ChatCompletionRequest) -> Question:
    last = body.messages[-1]
    if last.role != "user":
        raise InvalidRequest(field="messages", reason="the last message must be the user's question")
    history = [
        HistoryItem(role=message.role, content=message.text)
        for message in body.messages[:-1]
        if message.role in {"user", "assistant"}
    ]
    return Question(
        text=_asked(last.text),
        model=body.model,
        history=_messages(history),
        sampling=Sampling(body.temperature, body.token_limit),
    )


def _asked(text: str) -> str:
    if not text.strip():
        raise InvalidRequest(field="query", reason="the question is empty")
    return text


def _messages(history: list[HistoryItem]) -> tuple[Message, ...]:
    return tuple(Message(item.known_role, item.content) for item in history)


def _conversation(ident: str) -> ConversationId | None:
    return ConversationId(ident) if ident else None
