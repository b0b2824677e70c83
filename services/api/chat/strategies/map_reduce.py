"""MapReduce: each group of passages is asked alone for what it says about the question; the answer is over that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from services.api.chat.contexts import quoted
from services.api.chat.nothing_found import unfounded
from services.api.chat.speaking import Speaker
from services.api.chat.strategies.base import Grounding
from services.api.chat.strategies.packing import fitting, pack, text_tokens
from services.api.chat.strategies.steps import Steps, numbers
from services.api.domain.answering import Approach, ChatEvent
from services.foundation.sse import closing

_SAYS_NOTHING = {"", "无", "none"}


@dataclass(frozen=True, slots=True)
class Extract:
    """What some passages say about the question, safe to stand in a prompt."""

    numbers: tuple[int, ...]
    text: str


class MapReduce:
    """Extracts that do not fit into the last call are extracted again; what does not fit even then is left out."""

    needs_writing: ClassVar[bool] = True

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    async def answer(self, grounding: Grounding) -> AsyncIterator[ChatEvent]:
        steps = Steps(self._speaker, grounding)
        groups = [(numbers(group), steps.shown(group)) for group in steps.groups(steps.step_prompt("extract", ""))]
        room = steps.room(steps.whole_prompt(""))
        found = await _fewer(steps, await _read(steps, groups), room)
        read = fitting(found, _tokens, room)
        left_out = tuple(number for extract in found[len(read) :] for number in extract.numbers)
        yield Approach("map_reduce", tuple(own for own, _ in groups), left_out, cut_short=steps.cut_short)
        if read:
            events = steps.last(steps.whole_prompt(_joined(read)))
        else:
            events = steps.counted(unfounded(self._speaker, grounding.question, grounding.query, grounding.history))
        async with closing(events):
            async for event in events:
                yield event


async def _fewer(steps: Steps, found: list[Extract], room: int) -> list[Extract]:
    """Extracts of extracts, until they fit or cannot be joined any more."""
    while len(fitting(found, _tokens, room)) < len(found):
        groups = pack(found, _tokens, min(room, steps.room(steps.step_prompt("extract", ""))))
        if len(groups) == len(found):
            break
        found = await _read(steps, [(_numbers(group), _joined(group)) for group in groups])
    return found


async def _read(steps: Steps, groups: Sequence[tuple[tuple[int, ...], str]]) -> list[Extract]:
    """What each group says about the question; groups that say nothing are no more."""
    texts = await steps.ask_all([steps.step_prompt("extract", context) for _, context in groups])
    extracts = [Extract(own, quoted(text.strip(), own)) for (own, _), text in zip(groups, texts, strict=True)]
    return [extract for extract in extracts if extract.text.strip(" 。.").lower() not in _SAYS_NOTHING]


def _tokens(extract: Extract) -> int:
    return text_tokens(extract.text)


def _numbers(extracts: Sequence[Extract]) -> tuple[int, ...]:
    return tuple(number for extract in extracts for number in extract.numbers)


def _joined(extracts: Sequence[Extract]) -> str:
    return "\n\n".join(extract.text for extract in extracts)
