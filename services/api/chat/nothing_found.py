"""What is answered when the passages do not suffice, and what decides that. Used by Grounded and the strategies."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from services.api.chat.speaking import Speaker
from services.api.domain.answering import ChatEvent, Finished, ModelRequest, Question, Token
from services.api.domain.conversation import Message
from services.api.domain.knowledge import Hit, WhenNothingFound
from services.foundation.sse import closing

_IDEOGRAPH = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"[A-Za-z]+")


class Sufficiency(Protocol):
    """Decides whether what was found is enough to answer from."""

    def suffices(self, query: str, hits: Sequence[Hit]) -> bool: ...


class AnyHit:
    """Whatever passed the similarity floor is enough."""

    def suffices(self, query: str, hits: Sequence[Hit]) -> bool:  # noqa: ARG002 - the protocol's
        return bool(hits)


class LikelyHit:
    """One of the hits is likely enough to answer, as the reranker sees it; without a reranker any hit is enough.

    Args:
        least: relevance in [0, 1] from which on a hit is enough.
    """

    def __init__(self, least: float) -> None:
        self._least = least

    def suffices(self, query: str, hits: Sequence[Hit]) -> bool:  # noqa: ARG002 - the protocol's
        return any(hit.relevance is None or hit.relevance >= self._least for hit in hits)


def sufficiency(speaker: Speaker, question: Question) -> Sufficiency:
    """What decides for a question: `free` answers from whatever was found, the others only from what is likely."""
    if _policy(speaker, question) == "free":
        return AnyHit()
    asked = question.manner.sufficient_relevance
    return LikelyHit(speaker.answering.sufficient_relevance if asked is None else asked)


def asks_model(speaker: Speaker, question: Question) -> bool:
    """Whether an answer without passages comes from the model at all.

    `strict` asks no model. Nor does `cautious` where the model only quotes: it has nothing of its own to say.
    """
    policy = _policy(speaker, question)
    return policy == "free" or (policy == "cautious" and speaker.writes(question.model))


async def unfounded(
    speaker: Speaker, question: Question, query: str, history: Sequence[Message]
) -> AsyncIterator[ChatEvent]:
    """An answer without passages, as the question's manner or else the settings say.

    The sentences stand in `configs/prompts/nothing_found.yaml`.
    """
    policy = _policy(speaker, question)
    language = language_of_text(query) or question.manner.language
    if not asks_model(speaker, question):
        yield Token(speaker.prompts.render("nothing_found", f"strict.{language}", {}))
        yield Finished("stop")
        return
    if policy == "cautious":
        yield Token(speaker.prompts.render("nothing_found", f"cautious.{language}", {}) + "\n\n")
    prompt = "beyond" if policy == "cautious" else "empty"
    text = speaker.prompts.render("knowledge_base_chat", prompt, {"question": query, "context": ""})
    request = ModelRequest(question.model, [*history, Message("user", text)], question.sampling)
    async with closing(speaker.say(request)) as events:
        async for event in events:
            yield event


def _policy(speaker: Speaker, question: Question) -> WhenNothingFound:
    return question.manner.when_nothing_found or speaker.answering.when_nothing_found


def language_of_text(text: str) -> str | None:
    """Whichever of "zh-CN" and "en" a text has more words of (an ideograph is one); None where it has none."""
    ideographs, words = len(_IDEOGRAPH.findall(text)), len(_WORD.findall(text))
    if ideographs == words == 0:
        return None
    return "zh-CN" if ideographs >= words else "en"
