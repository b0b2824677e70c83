"""Messages, turns and conversations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NewType

ConversationId = NewType("ConversationId", str)
TurnId = NewType("TurnId", str)

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One utterance."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A thread. `owner` is the browser or client it belongs to; knowing the id is what gives access to it."""

    id: ConversationId
    owner: str
    title: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Turn:
    """A question with its answer.

    Attributes:
        chat_type: "llm_chat", "knowledge_base_chat" or "file_chat", as 0.2.10 names them.
        citations: the answer's citations as JSON text, exactly as they were sent.
    """

    id: TurnId
    conversation_id: ConversationId | None
    chat_type: str
    question: str
    answer: str
    citations: str
    created_at: datetime
