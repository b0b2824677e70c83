"""The models of this worker: starts their engines, finds the one a request names, says how they are."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from services.foundation.errors import (
    ChatchatError,
    EngineFailed,
    InvalidRequest,
    InvalidSetting,
    NoWorker,
    UnknownModel,
)
from services.foundation.http import Health
from services.wire.control import WorkerStatus
from services.worker.engines.base import ChatEngine, EmbeddingEngine, Engine, RerankEngine
from services.worker.slots import Slots

log = logging.getLogger(__name__)

PROTOCOLS: Mapping[str, type] = {"chat": ChatEngine, "embedding": EmbeddingEngine, "rerank": RerankEngine}


class State(enum.StrEnum):
    """How far a model's engine is."""

    STARTING = "starting"
    STARTED = "ok"
    FAILED = "failed"


@dataclass(slots=True)
class HostedModel:
    """One model: its engine and its slots.

    Attributes:
        name: what clients call it.
        task: chat, embedding or rerank.
        engine: runs it; implements the protocol of the task.
        context_tokens: longest request.
        state: set by `Hosting`.
        reason: why it failed to start.

    Raises:
        InvalidSetting: the engine cannot do the task.
    """

    name: str
    task: str
    engine: Engine
    context_tokens: int
    state: State = State.STARTING
    reason: str = ""
    slots: Slots = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.engine, PROTOCOLS[self.task]):
            engine = type(self.engine).__name__
            raise InvalidSetting(setting=f"models.served.{self.name}.task", reason=f"{engine} cannot do {self.task}")
        self.slots = Slots(self.name, running=self.engine.concurrency)


class Hosting:
    """All models of one worker process."""

    def __init__(self, models: Sequence[HostedModel]) -> None:
        self._models = {model.name: model for model in models}

    @property
    def models(self) -> list[HostedModel]:
        """Every model, as given."""
        return list(self._models.values())

    @property
    def has_failed(self) -> bool:
        """No engine could be started; there is nothing to serve."""
        return all(model.state is State.FAILED for model in self.models)

    async def start(self, changed: Callable[[], None]) -> None:
        """Start all engines side by side; `changed` is called after each. A failure is kept, not raised."""
        await asyncio.gather(*(self._start(model, changed) for model in self.models))

    async def _start(self, model: HostedModel, changed: Callable[[], None]) -> None:
        try:
            await model.engine.start()
        except ChatchatError as failure:
            log.error("model %s does not start: %s", model.name, failure)  # noqa: TRY400 - the sentence says it all
            model.state, model.reason = State.FAILED, str(failure)
        except Exception as failure:
            log.exception("model %s does not start", model.name)
            model.state, model.reason = State.FAILED, f"{type(failure).__name__}: {failure}"
        else:
            log.info("model %s (%s) is ready", model.name, model.task)
            model.state = State.STARTED
        changed()

    async def stop(self) -> None:
        """Stop all engines; one that cannot stop does not keep the others from it."""
        for outcome in await asyncio.gather(*(model.engine.stop() for model in self.models), return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("an engine did not stop cleanly", exc_info=outcome)

    def health(self) -> Health:
        """Starting until every engine has started or failed."""
        detail = {model.name: model.reason or model.state.value for model in self.models}
        states = {model.state for model in self.models}
        if State.STARTING in states or self.has_failed:
            return Health("starting", detail)
        return Health("degraded" if State.FAILED in states else "ok", detail)

    def status(self) -> WorkerStatus:
        """What the controller is told: the models that have started, and how busy they are."""
        started = [model for model in self.models if model.state is State.STARTED]
        return WorkerStatus(
            model_names=[model.name for model in started],
            queue_length=sum(model.slots.queue_length for model in started),
            tasks={model.name: model.task for model in started},
            dialect="openai",
        )

    def chat(self, name: str) -> tuple[ChatEngine, Slots]:
        """The engine and slots of a chat model; raises as `find` does."""
        model = self.find(name, "chat")
        return cast("ChatEngine", model.engine), model.slots

    def embedding(self, name: str) -> tuple[EmbeddingEngine, Slots]:
        """The engine and slots of an embedding model; raises as `find` does."""
        model = self.find(name, "embedding")
        return cast("EmbeddingEngine", model.engine), model.slots

    def rerank(self, name: str) -> tuple[RerankEngine, Slots]:
        """The engine and slots of a rerank model; raises as `find` does."""
        model = self.find(name, "rerank")
        return cast("RerankEngine", model.engine), model.slots

    def find(self, name: str, task: str) -> HostedModel:
        """The model `name`, ready to do `task` (its engine implements the task's protocol: see `HostedModel`).

        Raises:
            UnknownModel: this worker does not serve it.
            InvalidRequest: it does something else.
            NoWorker: it is still starting.
            EngineFailed: it did not start.
        """
        model = self._models.get(name)
        if model is None:
            raise UnknownModel(model=name, known=", ".join(self._models))
        if model.task != task:
            raise InvalidRequest(field="model", reason=f"{name!r} is a model for {model.task}, not for {task}")
        if model.state is State.STARTING:
            raise NoWorker(model=name)
        if model.state is State.FAILED:
            raise EngineFailed(model=name, reason=model.reason)
        return model
