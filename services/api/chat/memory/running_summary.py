"""RunningSummary: the last messages as they are, and a summary of the older ones that grows with the conversation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import ClassVar

from services.api.chat.contexts import quoted
from services.api.chat.language import language_of
from services.api.chat.memory.base import allowed
from services.api.chat.speaking import Speaker
from services.api.domain.answering import ModelRequest, Question, Sampling
from services.api.domain.conversation import Message


class RunningSummary:
    """Older messages are summarised in blocks of `memory_recent`, each block once, onto the summary before.

    Between one and two blocks stay as they are. Summaries are kept by what they summarise, so that a conversation
    finds its own whether its messages come from the database or with the request. A failing summary fails the answer.
    """

    needs_writing: ClassVar[bool] = True

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._block = speaker.answering.memory_recent

    async def recall(self, question: Question) -> tuple[Message, ...]:
        messages = allowed(question)
        older = (len(messages) // self._block - 1) * self._block
        if older <= 0:
            return messages
        language = language_of(question)
        summary = await self._summary(question.model, messages[:older], language)
        shown = self._speaker.prompts.render("memory", "shown", {"summary": summary}, language)
        head = [Message("user", shown)]
        if messages[older].role == "user":  # some chat templates refuse messages that do not take turns
            head.append(Message("assistant", self._speaker.prompts.render("memory", "heeded", {}, language)))
        return (*head, *messages[older:])

    async def _summary(self, model: str, older: Sequence[Message], language: str) -> str:
        ends = range(self._block, len(older) + 1, self._block)
        keys = [_key(model, older[:end]) for end in ends]
        known = [number for number, key in enumerate(keys) if key in self._speaker.summaries]
        summary = self._speaker.summaries.read(keys[known[-1]]) if known else ""
        for number in range(known[-1] + 1 if known else 0, len(keys)):
            block = older[number * self._block : (number + 1) * self._block]
            summary = await self._onto(model, summary, block, language)
            self._speaker.summaries.keep(keys[number], summary)
        return summary

    async def _onto(self, model: str, summary: str, block: Sequence[Message], language: str) -> str:
        lines = "\n".join(f"{message.role}: {quoted(message.content, ())}" for message in block)
        variables = {"summary": summary, "messages": lines}
        prompt = self._speaker.prompts.render("memory", "summarise", variables, language)
        sampling = Sampling(0.0, self._speaker.answering.step_tokens)
        heard = await self._speaker.listen(ModelRequest(model, [Message("user", prompt)], sampling))
        return quoted(heard.text.strip(), ())


def _key(model: str, messages: Sequence[Message]) -> str:
    said = json.dumps([model, *((message.role, message.content) for message in messages)], ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()
