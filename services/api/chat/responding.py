"""What the chat endpoints are made of, what a request that says nothing gets, and how events go out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from fastapi import Request
from sse_starlette import EventSourceResponse

from services.api.chat import render
from services.api.chat.recording import Recorder
from services.api.chat.speaking import Speaker
from services.api.conversations.service import ConversationService
from services.api.domain.ports import Retriever
from services.api.knowledge.service import KnowledgeService
from services.api.knowledge.temporary import TemporaryBases
from services.foundation.errors import ChatchatError
from services.foundation.http import envelope_body, language_of, request_id_of
from services.foundation.settings.tree import Preset, Settings
from services.foundation.sse import event_response


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
    temporary: TemporaryBases


def respond(lines: AsyncIterator[str], request: Request, language: str) -> EventSourceResponse:
    """Stream events; a failure after the first is one more, in the client's language or else in `language`."""
    request_id, asked = request_id_of(request), language_of(request, language)

    def failure(error: ChatchatError) -> str:
        return render.event_text(envelope_body(error, request_id, asked))

    return event_response(lines, failure=failure)


def links_base(request: Request, defaults: ChatDefaults) -> str:
    """What stands before the links of citations, with its slash."""
    return f"{defaults.public_url.rstrip('/')}/" if defaults.public_url else str(request.base_url)
