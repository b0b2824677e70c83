"""What comes in (Question) and what goes out (ChatEvent)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.api.domain.conversation import Message
from services.api.domain.knowledge import Citation, WhenNothingFound
from services.api.domain.retrieval import Explanation


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the model is asked to write. None leaves it to the model.

    `repetition_penalty` divides the likelihood of tokens that were used already; given only to models that take it.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    repetition_penalty: float | None = None


@dataclass(frozen=True, slots=True)
class Manner:
    """How a question is to be answered; None leaves it to the settings.

    Attributes:
        when_nothing_found: what is answered when the passages do not suffice: a fixed sentence (strict), a warning
            and then the model (cautious), or the model alone (free).
        sufficient_relevance: strict and cautious: the least relevance of the best passage that is answered from.
        strategy: name on the shelf of answering strategies.
        language: "zh-CN" or "en", of fixed sentences where the question's own language cannot be told.
        memory: name on the shelf of memories.
        history_turns: the most earlier turns that the model is shown; None: no limit but the memory's.
    """

    when_nothing_found: WhenNothingFound | None = None
    sufficient_relevance: float | None = None
    strategy: str | None = None
    language: str = "zh-CN"
    memory: str | None = None
    history_turns: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What came in. `history` holds earlier messages, oldest first, without the question itself."""

    text: str
    model: str
    prompt: str = "default"
    history: tuple[Message, ...] = ()
    sampling: Sampling = Sampling()
    manner: Manner = Manner()


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
    explanation: Explanation | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Approach:
    """How the answer is made from its passages. Comes after the citations and before the first token.

    Attributes:
        strategy: the one that was used; never "auto".
        groups: the numbers of the passages that were read together, group by group; empty when all were.
        left_out: numbers of passages that did not fit and were not read, or whose extract was not.
        unrated: numbers of passages whose rating the model wrote in no readable form.
        cut_short: how many steps reached their limit of tokens before their end.
    """

    strategy: str
    groups: tuple[tuple[int, ...], ...] = ()
    left_out: tuple[int, ...] = ()
    unrated: tuple[int, ...] = ()
    cut_short: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a whole answer. `reason` is OpenAI's finish_reason."""

    reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


ChatEvent = Token | Citations | Approach | Finished
"""An answer's events. A failure is raised by the iterator, not yielded; the render makes an event of it."""
