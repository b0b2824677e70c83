"""Plain and Grounded: the one answering flow, with and without passages."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.api.chat.contexts import KnowledgeContext
from services.api.chat.language import language_of
from services.api.chat.memory import MEMORIES
from services.api.chat.memory.base import Memory
from services.api.chat.nothing_found import Sufficiency, asks_model, sufficiency, unfounded
from services.api.chat.speaking import Speaker
from services.api.chat.strategies import STRATEGIES
from services.api.chat.strategies.base import Grounding, Strategy
from services.api.chat.wordings import wordings
from services.api.domain.answering import ChatEvent, Citations, ModelRequest, Question
from services.api.domain.conversation import Message
from services.foundation.errors import WritingNeeded
from services.foundation.sse import closing

__all__ = ["Grounded", "Plain", "Speaker"]


class Plain:
    """Answers from the model alone, with the history before the question."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    def answer(self, question: Question) -> AsyncIterator[ChatEvent]:
        """The events. Raises PromptNotFound, UnknownVariant and WritingNeeded at once, not in the midst of a stream."""
        variables = {"input": question.text}
        text = self._speaker.prompts.render("llm_chat", question.prompt, variables, language_of(question))
        return self._answer(question, text, _memory(self._speaker, question))

    async def _answer(self, question: Question, text: str, memory: Memory) -> AsyncIterator[ChatEvent]:
        messages = [*await memory.recall(question), Message("user", text)]
        request = ModelRequest(question.model, messages, question.sampling)
        async with closing(self._speaker.say(request)) as events:
            async for event in events:
                yield event


class Grounded:
    """Answers from passages: condense, gather, cite, then ask as the strategy does.

    Args:
        speaker: what every answer needs.
        context: where the passages come from.
        decides: whether they are enough; None: as the policy has it. Where they are not, none is cited, and the answer
            is as `when_nothing_found` says.
    """

    def __init__(self, speaker: Speaker, context: KnowledgeContext, decides: Sufficiency | None = None) -> None:
        self._speaker = speaker
        self._context = context
        self._decides = decides

    def answer(self, question: Question) -> AsyncIterator[ChatEvent]:
        """The events. Raises PromptNotFound, UnknownVariant and WritingNeeded at once, not in the midst of a stream."""
        self._speaker.prompts.template("knowledge_base_chat", question.prompt, language_of(question))
        return self._answer(question, _strategy(self._speaker, question), _memory(self._speaker, question))

    async def _answer(self, question: Question, strategy: Strategy, memory: Memory) -> AsyncIterator[ChatEvent]:
        query = await self._speaker.condenser.condense(question)
        retrieved = await self._context.gather(query, await wordings(self._speaker, question, query))
        decides = self._decides or sufficiency(self._speaker, question)
        if not decides.suffices(query, retrieved.hits):
            yield Citations(query, (), retrieved.explanation)
            shown = await memory.recall(question) if asks_model(self._speaker, question) else ()
            events = unfounded(self._speaker, question, query, shown)
        else:
            citations = self._context.cite(retrieved.hits)
            yield Citations(query, citations, retrieved.explanation)
            events = strategy.answer(Grounding(question, query, citations, await memory.recall(question)))
        async with closing(events):
            async for event in events:
                yield event


def _strategy(speaker: Speaker, question: Question) -> Strategy:
    name = question.manner.strategy or speaker.answering.strategy
    strategy = STRATEGIES.build(name, speaker)
    if strategy.needs_writing:
        _check_writes(speaker, question, name, "stuff / auto")
    return strategy


def _memory(speaker: Speaker, question: Question) -> Memory:
    name = question.manner.memory or speaker.answering.memory
    memory = MEMORIES.build(name, speaker)
    if memory.needs_writing:
        _check_writes(speaker, question, name, "window / token_budget")
    return memory


def _check_writes(speaker: Speaker, question: Question, what: str, instead: str) -> None:
    if not speaker.writes(question.model):
        raise WritingNeeded(model=question.model, what=what, instead=instead)
