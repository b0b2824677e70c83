"""Steps: the calls that one answer is made of. Used by every strategy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from services.api.chat.contexts import numbered_context
from services.api.chat.language import language_of
from services.api.chat.speaking import Speaker
from services.api.chat.strategies.base import Grounding
from services.api.chat.strategies.packing import MESSAGE_TOKENS, estimate_tokens, pack, text_tokens
from services.api.domain.answering import ChatEvent, Finished, ModelRequest, Sampling
from services.api.domain.conversation import Message
from services.api.domain.knowledge import Citation
from services.foundation.sse import closing


class Steps:
    """Asks for whole texts, some at a time, and streams the last; counts the tokens of all.

    Attributes:
        cut_short: the texts so far that reached their limit before their end.
    """

    def __init__(self, speaker: Speaker, grounding: Grounding) -> None:
        self._speaker = speaker
        self._grounding = grounding
        self._language = language_of(grounding.question, grounding.query)
        self._allowed = asyncio.Semaphore(speaker.answering.parallel_calls)
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self.cut_short = 0

    @property
    def answer_tokens(self) -> int:
        """What is kept free for the answer: at most half of what the model takes."""
        asked = self._grounding.question.sampling.max_tokens or self._speaker.answering.answer_tokens
        return min(asked, self._speaker.context_tokens(self._grounding.question.model) // 2)

    def whole_prompt(self, context: str) -> str:
        """The prompt of the question's choice, over passages or what was drawn from them."""
        variables = {"question": self._grounding.query, "context": context}
        name = self._grounding.question.prompt
        return self._speaker.prompts.render("knowledge_base_chat", name, variables, self._language)

    def step_prompt(self, name: str, context: str, **more: str) -> str:
        """A prompt of `configs/prompts/answer_steps.yaml`."""
        variables = {"question": self._grounding.query, "context": context, **more}
        return self._speaker.prompts.render("answer_steps", name, variables, self._language)

    def shown(self, citations: Sequence[Citation]) -> str:
        """Passages as a prompt of the question's language shows them."""
        return numbered_context(citations, self._language)

    def passage_tokens(self, citation: Citation) -> int:
        """A passage as it is shown, with what separates it from the next."""
        return text_tokens(self.shown([citation]))

    def room(self, frame: str, *, spare: int = 0) -> int:
        """Tokens left for passages in the last call: beside its prompt, the history, the answer, and `spare`."""
        history = sum(estimate_tokens(message.content) + MESSAGE_TOKENS for message in self._grounding.history)
        taken = estimate_tokens(frame) + MESSAGE_TOKENS + history + self.answer_tokens + spare
        return max(self._speaker.context_tokens(self._grounding.question.model) - taken, 0)

    def groups(self, frame: str, *, spare: int = 0) -> list[tuple[Citation, ...]]:
        """The passages as they are read together: as the settings say, or less where the model takes less."""
        budget = min(self._speaker.answering.group_tokens, self.room(frame, spare=spare))
        return pack(self._grounding.citations, self.passage_tokens, budget)

    async def ask(self, text: str, sampling: Sampling | None = None) -> str:
        """One whole text; greedy, and as long as a step may be, unless said otherwise."""
        chosen = sampling or Sampling(0.0, min(self._speaker.answering.step_tokens, self.answer_tokens))
        request = ModelRequest(self._grounding.question.model, [Message("user", text)], chosen)
        async with self._allowed:
            heard = await self._speaker.listen(request)
        self._count(heard.finished)
        self.cut_short += heard.finished.reason == "length"
        return heard.text

    async def ask_all(self, texts: Sequence[str]) -> list[str]:
        """Whole texts, in their order, as many at a time as allowed. The first that fails stops the others."""
        tasks = [asyncio.create_task(self.ask(text)) for text in texts]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def last(self, text: str) -> AsyncIterator[ChatEvent]:
        """The answer itself, streamed, with the history before it."""
        question = self._grounding.question
        messages = [*self._grounding.history, Message("user", text)]
        async with closing(
            self.counted(self._speaker.say(ModelRequest(question.model, messages, question.sampling)))
        ) as events:
            async for event in events:
                yield event

    async def counted(self, events: AsyncIterator[ChatEvent]) -> AsyncIterator[ChatEvent]:
        """Other events as the last step's: their end counts the tokens of all steps."""
        async with closing(events):
            async for event in events:
                if isinstance(event, Finished):
                    self._count(event)
                    yield Finished(event.reason, self._prompt_tokens, self._completion_tokens)
                else:
                    yield event

    def whole(self) -> Finished:
        """The end of an answer that no last call wrote."""
        return Finished("stop", self._prompt_tokens, self._completion_tokens)

    def _count(self, finished: Finished) -> None:
        self._prompt_tokens += finished.prompt_tokens
        self._completion_tokens += finished.completion_tokens


def numbers(group: Sequence[Citation]) -> tuple[int, ...]:
    """The numbers of a group's passages."""
    return tuple(citation.number for citation in group)
