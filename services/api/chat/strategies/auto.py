"""Auto: stuff where the passages fit into the model's context, else map_reduce."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

from services.api.chat.speaking import Speaker
from services.api.chat.strategies.base import Grounding
from services.api.chat.strategies.map_reduce import MapReduce
from services.api.chat.strategies.packing import fitting
from services.api.chat.strategies.steps import Steps
from services.api.chat.strategies.stuff import Stuff
from services.api.domain.answering import ChatEvent


class Auto:
    """Chooses by the tokens, estimated. A model that only quotes is always given as many passages as fit."""

    needs_writing: ClassVar[bool] = False

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    def answer(self, grounding: Grounding) -> AsyncIterator[ChatEvent]:
        steps = Steps(self._speaker, grounding)
        fit = fitting(grounding.citations, steps.passage_tokens, steps.room(steps.whole_prompt("")))
        is_whole = len(fit) == len(grounding.citations)
        if is_whole or not self._speaker.writes(grounding.question.model):
            return Stuff(self._speaker).answer(grounding)
        return MapReduce(self._speaker).answer(grounding)
