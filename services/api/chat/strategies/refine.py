"""Refine: an answer from the first group of passages, improved by one group after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import ClassVar

from services.api.chat.contexts import quoted
from services.api.chat.speaking import Speaker
from services.api.chat.strategies.base import Grounding
from services.api.chat.strategies.steps import Steps, numbers
from services.api.domain.answering import Approach, ChatEvent
from services.foundation.sse import closing


class Refine:
    """One call after the other; the last is streamed. With one group it is `stuff`."""

    needs_writing: ClassVar[bool] = True

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    async def answer(self, grounding: Grounding) -> AsyncIterator[ChatEvent]:
        steps = Steps(self._speaker, grounding)
        frame = max(steps.whole_prompt(""), steps.step_prompt("refine", "", draft=""), key=len)
        groups = steps.groups(frame, spare=steps.answer_tokens)
        sampling = replace(grounding.question.sampling, max_tokens=steps.answer_tokens)
        prompt = steps.whole_prompt(steps.shown(groups[0]))
        for done, group in enumerate(groups[1:], start=1):
            seen = {number for earlier in groups[:done] for number in numbers(earlier)}
            draft = quoted(await steps.ask(prompt, sampling), seen)
            prompt = steps.step_prompt("refine", steps.shown(group), draft=draft)
        yield Approach("refine", tuple(numbers(group) for group in groups), cut_short=steps.cut_short)
        async with closing(steps.last(prompt)) as events:
            async for event in events:
                yield event
