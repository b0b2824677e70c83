"""Memory: what the variants of this shelf implement, and how turns are cut off a history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from services.api.domain.answering import Question
from services.api.domain.conversation import Message


class Memory(Protocol):
    """What of a question's history the model is shown, oldest first. Made with a Speaker.

    Never more turns than the question's manner allows, and never an answer without what it answers. The condenser
    sees the whole history all the same: a follow-up can be understood that the model is shown nothing before.

    Attributes:
        needs_writing: whether the model must write what it is told to, and not only quote.
    """

    needs_writing: ClassVar[bool]

    async def recall(self, question: Question) -> tuple[Message, ...]: ...


def allowed(question: Question) -> tuple[Message, ...]:
    """The messages of the last turns that the question's manner allows; all where it names no number."""
    turns = question.manner.history_turns
    if turns is None:
        return question.history
    begins = [number for number, message in enumerate(question.history) if message.role == "user"]
    if turns >= len(begins):
        return question.history
    return question.history[begins[-turns] :] if turns else ()


def since(messages: Sequence[Message], start: int) -> tuple[Message, ...]:
    """The messages from `start` on; where that cuts some off, from the next question of the user on."""
    while 0 < start < len(messages) and messages[start].role != "user":
        start += 1
    return tuple(messages[start:])
