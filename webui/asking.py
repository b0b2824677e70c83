"""What was chosen for the next answer, and the request that it becomes. Pure; drawn by components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.wire.chatchat import (
    AnsweringOptions,
    ChatRequest,
    FileChatRequest,
    HistoryItem,
    KnowledgeBaseChatRequest,
    KnowledgeBaseDetails,
    PresetBody,
    ServedModelBody,
)
from webui.state import Mode, Session, Turn

TOP_K = 3
TOP_K_LIMIT = 20
TEMPERATURE = 0.7
TEMPERATURE_LIMIT = 1.0
HISTORY_TURNS = 5
LONG_HISTORY_TURNS = 50
_SHORT_MEMORY = "window"
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a question says of how it is answered; None leaves it to its preset, else to the settings.

    Attributes:
        more_bases: further knowledge bases that are read.
        history_turns: the earlier turns that are sent along, at most.
    """

    preset: str | None = None
    top_k: int | None = None
    temperature: float | None = None
    strategy: str | None = None
    when_nothing_found: str | None = None
    memory: str | None = None
    more_bases: tuple[str, ...] = ()
    history_turns: int = HISTORY_TURNS


@dataclass(frozen=True, slots=True)
class ChatChoices:
    """What was chosen. `model` and `base` are None where there is nothing to choose from.

    Attributes:
        files: the id of the conversation's files, once they can be asked about.
    """

    mode: Mode
    model: ServedModelBody | None
    base: KnowledgeBaseDetails | None
    wishes: Wishes = Wishes()
    files: str | None = None

    @property
    def can_ask(self) -> bool:
        """There is what an answer needs."""
        source = {Mode.KNOWLEDGE: self.base, Mode.FILES: self.files, Mode.MODEL: self.model}[self.mode]
        return self.model is not None and source is not None


def request_for(
    question: str, choices: ChatChoices, session: Session
) -> ChatRequest | KnowledgeBaseChatRequest | FileChatRequest:
    """The body of the question, by mode."""
    wishes = choices.wishes
    said = {"preset": wishes.preset, "temperature": wishes.temperature, "memory": wishes.memory}
    body: dict[str, object] = {
        "query": question,
        "history": history_of(session.turns, wishes.history_turns),
        "model_name": choices.model.name if choices.model else None,
        "conversation_id": session.conversation,
    }
    if choices.base is None and choices.files is None:
        return ChatRequest.model_validate(body | _given(said))
    said |= {"top_k": wishes.top_k, "strategy": wishes.strategy, "when_nothing_found": wishes.when_nothing_found}
    body["explain"] = True
    if choices.base is None:
        return FileChatRequest.model_validate(body | {"knowledge_id": choices.files} | _given(said))
    body["knowledge_base_name"] = choices.base.name
    if wishes.more_bases:
        body["more_knowledge_bases"] = list(wishes.more_bases)
    return KnowledgeBaseChatRequest.model_validate(body | _given(said))


def history_of(turns: Sequence[Turn], limit: int = HISTORY_TURNS) -> list[HistoryItem]:
    """The messages sent along with a question: the last turns that have an answer."""
    answered = [turn for turn in turns if turn.answer][-limit:]
    return [
        HistoryItem(role=role, content=content)
        for turn in answered
        for role, content in (("user", turn.question), ("assistant", turn.answer))
    ]


def options_of(options: AnsweringOptions, base: KnowledgeBaseDetails | None) -> AnsweringOptions:
    """What may be chosen, and what holds for a knowledge base where a question does not say it."""
    if base is None:
        return options
    said = {"strategy": base.answering.strategy, "when_nothing_found": base.answering.when_nothing_found}
    return options.model_copy(update=_given({**said}))


def own_preset(options: AnsweringOptions, base: KnowledgeBaseDetails | None) -> PresetBody | None:
    """The preset that a knowledge base says."""
    wanted = base.answering.preset if base else None
    return next((preset for preset in options.presets if preset.name == wanted), None)


def turns_for(preset: PresetBody | None, memory: str) -> int:
    """How many earlier turns are sent: as many as the memory can use, and never less than a follow-up needs."""
    if memory != _SHORT_MEMORY:
        return LONG_HISTORY_TURNS
    return max(HISTORY_TURNS, (preset.history_turns if preset else None) or 0)


def first_top_k(preset: PresetBody | None, options: AnsweringOptions | None) -> int:
    """What the number of passages begins with."""
    if preset is not None and preset.top_k is not None:
        return min(preset.top_k, TOP_K_LIMIT)
    return min(options.top_k, TOP_K_LIMIT) if options else TOP_K


def first_temperature(preset: PresetBody | None) -> float:
    """What the temperature begins with."""
    given = preset.temperature if preset else None
    return TEMPERATURE if given is None else min(given, TEMPERATURE_LIMIT)


def unless_same(chosen: _Number, preset: float | None, first: float) -> _Number | None:
    """What is sent: nothing where a preset says it and it was left alone, so that the preset's own value holds."""
    return None if preset is not None and chosen == first else chosen


def _given(said: dict[str, str | float | None]) -> dict[str, object]:
    return {name: value for name, value in said.items() if value is not None}
