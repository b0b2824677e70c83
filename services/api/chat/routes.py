"""All /chat/* endpoints, and a base as an OpenAI endpoint. Parse the body, pick the context, render the events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse

from services.api.chat import render
from services.api.chat.answering import Grounded, Plain, Speaker
from services.api.chat.asking import Asking
from services.api.chat.choosing import Choosing
from services.api.chat.contexts import KnowledgeContext
from services.api.chat.recording import Recorder, TurnHead
from services.api.conversations.service import ConversationService, new_turn_id
from services.api.domain.answering import ChatEvent, Manner, Question, Sampling
from services.api.domain.conversation import ConversationId, Message
from services.api.domain.knowledge import AnsweringChoice
from services.api.domain.names import KnowledgeBaseName
from services.api.domain.ports import Retriever
from services.api.knowledge.render import similarity_floor
from services.api.knowledge.routes import TAG as KNOWLEDGE_TAG
from services.api.knowledge.service import KnowledgeService
from services.foundation.errors import ChatchatError, InvalidRequest
from services.foundation.http import envelope_body, language_of, openai_body, request_id_of, while_connected
from services.foundation.settings.tree import Preset, Settings
from services.foundation.sse import event_response
from services.wire.chatchat import ChatRequest, HistoryItem, KnowledgeBaseChatRequest
from services.wire.openai import ChatCompletionRequest

_NO_CHOICE = AnsweringChoice()
_STREAM: dict[int | str, dict[str, object]] = {200: {"content": {"text/event-stream": {}}}}


@dataclass(frozen=True, slots=True)
class ChatDefaults:
    """What a request that names nothing gets. `public_url`: where browsers reach the API, when it is not the Host."""

    model: str
    language: str
    top_k: int
    min_similarity: float
    public_url: str | None = None
    presets: Mapping[str, Preset] = field(default_factory=dict)
    widen_chars: int = 0

    @classmethod
    def of(cls, settings: Settings) -> ChatDefaults:
        """As the settings say."""
        server, retrieval = settings.server, settings.knowledge.retrieval
        return cls(
            settings.models.default_chat,
            server.language,
            retrieval.top_k,
            retrieval.min_similarity,
            server.api.public_url,
            settings.presets,
            retrieval.widen_chars,
        )


@dataclass(frozen=True, slots=True)
class ChatParts:
    """What the endpoints are made of."""

    speaker: Speaker
    knowledge: KnowledgeService
    retriever: Retriever
    conversations: ConversationService
    recorder: Recorder


def router(parts: ChatParts, defaults: ChatDefaults) -> APIRouter:
    """The endpoints over their parts."""
    chat, bases = _Chat(parts, defaults), _OpenAIBase(parts, defaults)
    routes = APIRouter()
    for path, endpoint in (("/chat/chat", chat.chat), ("/chat/knowledge_base_chat", chat.knowledge_base_chat)):
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
            turn, _conversation(body.conversation_id), "llm_chat", body.query, _base_url(request, self._defaults)
        )
        lines = render.chat_events(self._parts.recorder.recorded(events, head), turn, stream=body.stream)
        return self._respond(lines, request)

    async def knowledge_base_chat(self, body: KnowledgeBaseChatRequest, request: Request) -> EventSourceResponse:
        name = KnowledgeBaseName.parse(body.knowledge_base_name)
        base = await self._parts.knowledge.get(name)
        asked = "score_threshold" in body.model_fields_set
        floor = similarity_floor(body.score_threshold) if asked else self._defaults.min_similarity
        bases = await self._parts.knowledge.with_others(base, body.more_knowledge_bases)
        asking = self._asking(body, base.answering)
        top_k = asking.top_k(body.top_k)
        wide = self._defaults.widen_chars
        context = KnowledgeContext(self._parts.retriever, bases, top_k=top_k, min_similarity=floor, widen_chars=wide)
        question = Question(
            text=_asked(body.query),
            model=body.model_name or self._defaults.model,
            prompt=body.prompt_name,
            history=_messages(body.history),
            sampling=asking.sampling(),
            manner=asking.manner(language_of(request, self._defaults.language)),
        )
        events = Grounded(self._parts.speaker, context).answer(question)
        base_url = _base_url(request, self._defaults)
        conversation = _conversation(body.conversation_id)
        head = TurnHead(new_turn_id(), conversation, "knowledge_base_chat", body.query, base_url)
        recorded = self._parts.recorder.recorded(events, head)
        lines = render.knowledge_events(recorded, base_url, stream=body.stream, explain=body.explain)
        return self._respond(lines, request)

    def _asking(self, body: ChatRequest | KnowledgeBaseChatRequest, base: AnsweringChoice = _NO_CHOICE) -> Asking:
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

    def _respond(self, lines: AsyncIterator[str], request: Request) -> EventSourceResponse:
        request_id, language = request_id_of(request), language_of(request, self._defaults.language)

        def failure(error: ChatchatError) -> str:
            return render.event_text(envelope_body(error, request_id, language))

        return event_response(lines, failure=failure)


class _OpenAIBase:
    """A knowledge base for OpenAI clients: base_url=http://…/knowledge_base/local_kb/<name>."""

    def __init__(self, parts: ChatParts, defaults: ChatDefaults) -> None:
        self._parts = parts
        self._defaults = defaults

    async def completions(self, knowledge_base_name: str, body: ChatCompletionRequest, request: Request) -> Response:
        base = await self._parts.knowledge.get(KnowledgeBaseName.parse(knowledge_base_name))
        defaults = self._defaults
        context = KnowledgeContext(
            self._parts.retriever,
            [base],
            top_k=defaults.top_k,
            min_similarity=defaults.min_similarity,
            widen_chars=defaults.widen_chars,
        )
        language = language_of(request, self._defaults.language)
        question = replace(_openai_question(body), manner=_manner(base.answering, language))
        events: AsyncIterator[ChatEvent] = Grounded(self._parts.speaker, context).answer(question)
        base_url = _base_url(request, self._defaults)
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


def _base_url(request: Request, defaults: ChatDefaults) -> str:
    """What stands before the links of citations, with its slash."""
    return f"{defaults.public_url.rstrip('/')}/" if defaults.public_url else str(request.base_url)
