"""HostedModel: one model of a worker, its engine, its slots, and how it is. Kept by `hosting`, watched by `care`."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.foundation.errors import InvalidSetting
from services.worker.engines.base import ChatEngine, EmbeddingEngine, Engine, RerankEngine, ServerEngine, Vitals
from services.worker.slots import Slots

PROTOCOLS: Mapping[str, type] = {"chat": ChatEngine, "embedding": EmbeddingEngine, "rerank": RerankEngine}


class State(enum.StrEnum):
    """How far a model's engine is."""

    STARTING = "starting"
    STARTED = "ok"
    UNWELL = "unwell"
    FAILED = "failed"


@dataclass(slots=True)
class HostedModel:
    """One model: its engine and its slots.

    Attributes:
        name: what clients call it.
        task: chat, embedding or rerank.
        engine: runs it; implements the protocol of the task.
        context_tokens: longest request.
        is_local: it may be asked tiny requests at no cost.
        state: set by `Hosting`.
        reason: why it failed to start, or is unwell.
        vitals: how it was when last looked at.

    Raises:
        InvalidSetting: the engine cannot do the task.
    """

    name: str
    task: str
    engine: Engine
    context_tokens: int
    is_local: bool = True
    state: State = State.STARTING
    reason: str = ""
    vitals: Vitals = field(default_factory=Vitals)
    slots: Slots = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.engine, PROTOCOLS[self.task] | ServerEngine):
            engine = type(self.engine).__name__
            raise InvalidSetting(setting=f"models.served.{self.name}.task", reason=f"{engine} cannot do {self.task}")
        self.slots = Slots(self.name, running=self.engine.concurrency)

    async def look(self) -> Vitals:
        """How busy it is now. Raises what `ServerEngine.vitals` raises."""
        self.vitals = await self.engine.vitals() if isinstance(self.engine, ServerEngine) else self.slots.vitals
        return self.vitals

    @property
    def queue_length(self) -> int:
        """Requests running and waiting, as the controller is told."""
        latest = self.vitals if isinstance(self.engine, ServerEngine) else self.slots.vitals
        return latest.running + latest.waiting
