"""Strategy and Grounding: what the variants of this shelf implement and are given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

from services.api.domain.answering import ChatEvent, Question
from services.api.domain.conversation import Message
from services.api.domain.knowledge import Citation


@dataclass(frozen=True, slots=True)
class Grounding:
    """What an answer stands on.

    Attributes:
        question: as it came.
        query: the question made to stand alone.
        citations: the passages, numbered, best first; at least one.
        history: the earlier messages that the model is shown.
    """

    question: Question
    query: str
    citations: tuple[Citation, ...]
    history: tuple[Message, ...] = ()


class Strategy(Protocol):
    """How an answer is made from passages, which may be more than the model reads at a time. Made with a Speaker.

    The events are one Approach, then tokens, then one Finished, which counts the tokens of all steps. Passages keep
    the numbers of their citations in every step, and stand fenced and escaped in every prompt. Closing the iterator,
    or cancelling the task that reads it, stops every call under way. A failing step fails the answer.

    Attributes:
        needs_writing: whether the model must write what it is told to, and not only quote.
    """

    needs_writing: ClassVar[bool]

    def answer(self, grounding: Grounding) -> AsyncIterator[ChatEvent]: ...
