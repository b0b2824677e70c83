"""Plain and Grounded: the one answering flow, with and without passages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.api.chat.contexts import KnowledgeContext, numbered_context
from services.api.domain.answering import ChatEvent, Citations, ModelRequest, Question
from services.api.domain.conversation import Message
from services.api.domain.ports import ChatModel, Condenser, Prompts
from services.foundation.sse import closing


@dataclass(frozen=True, slots=True)
class Speaker:
    """What every answer needs: a model, prompts, and a way to make follow-ups stand alone."""

    model: ChatModel
    prompts: Prompts
    condenser: Condenser


class Plain:
    """Answers from the model alone, with the history before the question."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    def answer(self, question: Question) -> AsyncIterator[ChatEvent]:
        text = self._speaker.prompts.render("llm_chat", question.prompt, {"input": question.text})
        return _speak(self._speaker, question, text)


class Grounded:
    """Answers from passages: condense, gather, cite, ask."""

    def __init__(self, speaker: Speaker, context: KnowledgeContext) -> None:
        self._speaker = speaker
        self._context = context

    async def answer(self, question: Question) -> AsyncIterator[ChatEvent]:
        standalone = await self._speaker.condenser.condense(question)
        retrieved = await self._context.gather(standalone)
        citations = self._context.cite(retrieved.hits)
        yield Citations(standalone, citations, retrieved.explanation)
        variables = {"question": standalone, "context": numbered_context(citations)}
        prompt = question.prompt if citations else "empty"
        text = self._speaker.prompts.render("knowledge_base_chat", prompt, variables)
        async with closing(_speak(self._speaker, question, text)) as events:
            async for event in events:
                yield event


async def _speak(speaker: Speaker, question: Question, text: str) -> AsyncIterator[ChatEvent]:
    request = ModelRequest(question.model, [*question.history, Message("user", text)], question.sampling)
    async with closing(speaker.model.stream(request)) as events:
        async for event in events:
            yield event
