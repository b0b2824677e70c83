"""TokenBudget: as many of the last messages as fit into a number of tokens."""

from __future__ import annotations

from itertools import accumulate
from typing import ClassVar

from services.api.chat.memory.base import allowed, since
from services.api.chat.speaking import Speaker
from services.api.chat.strategies.packing import MESSAGE_TOKENS, estimate_tokens
from services.api.domain.answering import Question
from services.api.domain.conversation import Message


class TokenBudget:
    """The oldest go first, whole messages each. The tokens are estimated; 0.2.10 kept 2000 likewise."""

    needs_writing: ClassVar[bool] = False

    def __init__(self, speaker: Speaker) -> None:
        self._limit = speaker.answering.memory_tokens

    async def recall(self, question: Question) -> tuple[Message, ...]:
        messages = allowed(question)
        lengths = (estimate_tokens(message.content) + MESSAGE_TOKENS for message in reversed(messages))
        kept = sum(total <= self._limit for total in accumulate(lengths))
        return since(messages, len(messages) - kept)
