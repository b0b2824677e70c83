"""Window: the last messages, or all."""

from __future__ import annotations

from typing import ClassVar

from services.api.chat.memory.base import allowed, since
from services.api.chat.speaking import Speaker
from services.api.domain.answering import Question
from services.api.domain.conversation import Message


class Window:
    """As many messages as `knowledge.answering.memory_messages` says."""

    needs_writing: ClassVar[bool] = False

    def __init__(self, speaker: Speaker) -> None:
        self._limit = speaker.answering.memory_messages

    async def recall(self, question: Question) -> tuple[Message, ...]:
        messages = allowed(question)
        return messages if self._limit is None else since(messages, max(len(messages) - self._limit, 0))
