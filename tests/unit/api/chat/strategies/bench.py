"""What every strategy's tests share: passages, a speaker with small limits, and a model that answers by prompt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from services.api.chat.condensing import RuleCondenser
from services.api.chat.contexts import KnowledgeContext, Reach
from services.api.chat.speaking import Speaker
from services.api.chat.strategies import STRATEGIES
from services.api.chat.strategies.base import Grounding
from services.api.domain.answering import ChatEvent, Finished, ModelRequest, Question, Token
from services.api.domain.ports import ChatModel
from services.foundation.settings.tree import Answering, ServedModel
from tests.unit.api.chat.samples import BASE, PROMPTS, ListRetriever, hit

ASKED = "年假有几天？"


def limits(**more: Any) -> Answering:
    """One passage a group, unless said otherwise."""
    return Answering(**{"group_tokens": 64, **more})


def speaker(model: ChatModel, *, rewrites: bool = True, context_tokens: int = 8192, **more: Any) -> Speaker:
    served = {"m": ServedModel(task="chat", engine="echo", rewrites=rewrites, context_tokens=context_tokens)}
    return Speaker(model, PROMPTS, RuleCondenser(), limits(**more), served)


def grounding(*texts: str, **more: Any) -> Grounding:
    """Passages that are each longer than half a group."""
    context = KnowledgeContext(ListRetriever(), [BASE], Reach(3))
    question = Question(ASKED, "m", **more)
    return Grounding(question, ASKED, context.cite([hit(text) for text in texts]), question.history)


def long(text: str) -> str:
    return f"{text}{'。' * 40}"


async def answered(name: str, voice: Speaker, given: Grounding) -> list[ChatEvent]:
    return [event async for event in STRATEGIES.build(name, voice).answer(given)]


class AnsweringModel:
    """A `ChatModel` that answers by what it is asked.

    Attributes:
        prompts: the last message of each request, in the order they came.
        most_at_once: the most streams that were open at the same time.
        closed: streams that have ended, however they ended.
        hold: cleared, no stream says anything until it is set.
    """

    def __init__(self, answer: Callable[[str], str | Exception]) -> None:
        self._answer = answer
        self.prompts: list[str] = []
        self.requests: list[ModelRequest] = []
        self.open = 0
        self.most_at_once = 0
        self.closed = 0
        self.hold = asyncio.Event()
        self.hold.set()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Token | Finished]:
        self.requests.append(request)
        prompt = request.messages[-1].content
        self.prompts.append(prompt)
        self.open += 1
        self.most_at_once = max(self.most_at_once, self.open)
        try:
            await self.hold.wait()
            await asyncio.sleep(0)
            said = self._answer(prompt)
            if isinstance(said, Exception):
                raise said
            for character in said:
                yield Token(character)
            yield Finished("stop", prompt_tokens=10, completion_tokens=1)
        finally:
            self.open -= 1
            self.closed += 1
