"""All /conversations endpoints: ours, beside the 0.2.10 wire."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Query

from services.api.conversations.service import ConversationService
from services.api.domain.conversation import Conversation, ConversationId, Turn
from services.wire.chatchat import (
    CitationBody,
    ConversationBody,
    ConversationWithTurns,
    Envelope,
    OpenConversation,
    TurnBody,
)


def router(service: ConversationService) -> APIRouter:
    """The endpoints over a service."""
    routes = APIRouter(prefix="/conversations", tags=["Conversations"])

    @routes.post("")
    async def open_conversation(body: OpenConversation) -> Envelope:
        return Envelope(data=_body(await service.open(body.owner, body.title)).model_dump())

    @routes.get("")
    async def list_conversations(owner: Annotated[str, Query(min_length=16, max_length=64)]) -> Envelope:
        return Envelope(data=[_body(found).model_dump() for found in await service.of_owner(owner)])

    @routes.get("/{conversation_id}")
    async def read_conversation(conversation_id: str) -> Envelope:
        conversation, turns = await service.read(ConversationId(conversation_id))
        whole = ConversationWithTurns(**_body(conversation).model_dump(), turns=[_turn(turn) for turn in turns])
        return Envelope(data=whole.model_dump())

    @routes.delete("/{conversation_id}")
    async def delete_conversation(conversation_id: str) -> Envelope:
        await service.delete(ConversationId(conversation_id))
        return Envelope()

    return routes


def _body(conversation: Conversation) -> ConversationBody:
    return ConversationBody(
        id=conversation.id, title=conversation.title, updated_at=conversation.updated_at.isoformat()
    )


def _turn(turn: Turn) -> TurnBody:
    cited = json.loads(turn.citations) if turn.citations else []
    return TurnBody(
        id=turn.id,
        chat_type=turn.chat_type,
        question=turn.question,
        answer=turn.answer,
        citations=[CitationBody.model_validate(citation) for citation in cited],
        created_at=turn.created_at.isoformat(),
    )
