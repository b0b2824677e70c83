"""What comes in (Question) and what goes out (ChatEvent)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.api.domain.conversation import Message
from services.api.domain.knowledge import Citation
from services.api.domain.retrieval import Explanation


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the model is asked to write. None leaves it to the model."""

    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What came in. `history` holds earlier messages, oldest first, without the question itself."""

    text: str
    model: str
    prompt: str = "default"
    history: tuple[Message, ...] = ()
    sampling: Sampling = Sampling()


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a chat model is asked."""

    model: str
    messages: Sequence[Message]
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Citations:
    """The passages the answer may cite, the stand-alone query that found them, and why. Comes before any token."""

    query: str
    citations: tuple[Citation, ...]
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a whole answer. `reason` is OpenAI's finish_reason."""

    reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


ChatEvent = Token | Citations | Finished
"""An answer's events. A failure is raised by the iterator, not yielded; the render makes an event of it."""
