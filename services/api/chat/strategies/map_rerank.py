"""MapRerank: each group of passages answers alone and rates its answer; the best one is given."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.api.chat.contexts import quoted
from services.api.chat.speaking import Speaker
from services.api.chat.strategies.base import Grounding
from services.api.chat.strategies.steps import Steps, numbers
from services.api.domain.answering import Approach, ChatEvent, Token
from services.foundation.errors import NothingRated

_DECODER = json.JSONDecoder()


class _Written(BaseModel):
    """What the prompt `rate` asks for."""

    model_config = ConfigDict(strict=True)

    answer: Annotated[str, Field(min_length=1)]
    rating: Annotated[float, Field(ge=0, le=100)]


@dataclass(frozen=True, slots=True)
class Rated:
    """An answer from some passages, and how sure the model is that it answers the question, 0 to 100."""

    answer: str
    rating: float


class MapRerank:
    """The answer comes in one piece: it was written before it was known to be the best. Of equals the first wins."""

    needs_writing: ClassVar[bool] = True

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    async def answer(self, grounding: Grounding) -> AsyncIterator[ChatEvent]:
        steps = Steps(self._speaker, grounding)
        groups = steps.groups(steps.step_prompt("rate", ""))
        texts = await steps.ask_all([steps.step_prompt("rate", steps.shown(group)) for group in groups])
        rated = [(group, read_rating(text)) for group, text in zip(groups, texts, strict=True)]
        answers = [(found, numbers(group)) for group, found in rated if found is not None]
        if not answers:
            raise NothingRated(model=grounding.question.model, groups=len(groups))
        best, own = max(answers, key=lambda each: each[0].rating)
        yield Approach(
            "map_rerank",
            tuple(numbers(group) for group in groups),
            unrated=tuple(number for group, found in rated if found is None for number in numbers(group)),
            cut_short=steps.cut_short,
        )
        yield Token(quoted(best.answer, own, escape=False))
        yield steps.whole()


def read_rating(text: str) -> Rated | None:
    """The first JSON object in a model's words, if it holds an answer and a rating; prose around it does not matter."""
    start = text.find("{")
    while start != -1:
        try:
            found, _ = _DECODER.raw_decode(text, start)
            written = _Written.model_validate(found)
        except (json.JSONDecodeError, ValidationError, RecursionError):
            start = text.find("{", start + 1)
        else:
            return Rated(written.answer, written.rating)
    return None
