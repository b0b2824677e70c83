"""Stuff: all passages in one prompt; the last ones are left out where not all fit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

from services.api.chat.speaking import Speaker
from services.api.chat.strategies.base import Grounding
from services.api.chat.strategies.packing import fitting
from services.api.chat.strategies.steps import Steps, numbers
from services.api.domain.answering import Approach, ChatEvent
from services.foundation.sse import closing


class Stuff:
    """One call. What the approach names as left out was the least alike."""

    needs_writing: ClassVar[bool] = False

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    async def answer(self, grounding: Grounding) -> AsyncIterator[ChatEvent]:
        steps = Steps(self._speaker, grounding)
        read = fitting(grounding.citations, steps.passage_tokens, steps.room(steps.whole_prompt("")))
        prompt = steps.whole_prompt(steps.shown(read))
        yield Approach("stuff", left_out=numbers(grounding.citations[len(read) :]))
        async with closing(steps.last(prompt)) as events:
            async for event in events:
                yield event
