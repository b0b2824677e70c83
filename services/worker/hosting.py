"""The models of this worker: starts their engines, finds the one a request names, says how they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
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
from services.worker.care import CareRules, sickness
from services.worker.engines.base import (
    ChatEngine,
    EmbeddingEngine,
    RerankEngine,
    ServerEngine,
    TokenizingEngine,
    Vitals,
)
from services.worker.hosted import HostedModel, State
from services.worker.slots import Slots

log = logging.getLogger(__name__)


class Hosting:
    """All models of one worker process."""

    def __init__(self, models: Sequence[HostedModel], *, supervisor: str | None = None) -> None:
        """Raises InvalidSetting when a model that brings its own server is not alone."""
        self._models = {model.name: model for model in models}
        self._supervisor = supervisor
        servers = [model.name for model in models if isinstance(model.engine, ServerEngine)]
        if servers and len(models) > 1:
            reason = "its engine runs a server of its own, so it cannot share a worker with other models"
            raise InvalidSetting(setting=f"models.served.{servers[0]}.worker", reason=reason)

    @property
    def server_address(self) -> str | None:
        """Where the server of a `ServerEngine` is reached; None: this worker serves its models itself."""
        return next((model.engine.address for model in self.models if isinstance(model.engine, ServerEngine)), None)

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
            model.state, model.reason = State.STARTED, ""
        changed()

    async def keep(self, rules: CareRules, changed: Callable[[], None]) -> str:
        """Look after the models that have started; returns why, when only a new process can heal one.

        A server of its own is started again here, with its worker staying up; anything else that is sick takes the
        process with it. Meanwhile the model is not listed.
        """
        started = [model for model in self.models if model.state is State.STARTED]
        tasks = [asyncio.create_task(self._keep(model, rules, changed)) for model in started]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, model: HostedModel, rules: CareRules, changed: Callable[[], None]) -> str:
        while True:
            reason = await sickness(model, rules)
            log.error("model %s is unwell: %s", model.name, reason)
            model.state, model.reason, model.vitals = State.UNWELL, reason, Vitals()
            changed()
            if not isinstance(model.engine, ServerEngine):
                return f"{model.name}: {reason}"
            await model.engine.stop()
            await self._start(model, changed)
            if model.state is not State.STARTED:
                return f"{model.name}: {model.reason}"

    async def stop(self) -> None:
        """Stop all engines; one that cannot stop does not keep the others from it."""
        for outcome in await asyncio.gather(*(model.engine.stop() for model in self.models), return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("an engine did not stop cleanly", exc_info=outcome)

    def health(self) -> Health:
        """Starting until every engine has started or failed."""
        detail = {model.name: model.reason or model.state.value for model in self.models}
        states = {model.state for model in self.models}
        if State.STARTING in states or states <= {State.FAILED, State.UNWELL}:
            return Health("starting", detail)
        return Health("degraded" if State.FAILED in states else "ok", detail)

    def status(self) -> WorkerStatus:
        """What the controller is told: the models that have started, and how busy they are."""
        started = [model for model in self.models if model.state is State.STARTED]
        return WorkerStatus(
            model_names=[model.name for model in started],
            queue_length=sum(model.queue_length for model in started),
            tasks={model.name: model.task for model in started},
            dialect="openai",
            supervisor=self._supervisor,
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

    def tokenizing(self, name: str) -> tuple[HostedModel, TokenizingEngine | None]:
        """A chat model and, where it has one, what tokenizes for it; raises as `find` does."""
        model = self.find(name, "chat")
        return model, model.engine if isinstance(model.engine, TokenizingEngine) else None

    def find(self, name: str, task: str) -> HostedModel:
        """The model `name`, ready to do `task` (its engine implements the task's protocol: see `HostedModel`).

        Raises:
            UnknownModel: this worker does not serve it.
            InvalidRequest: it does something else.
            NoWorker: it is still starting, or its own server serves it elsewhere.
            EngineFailed: it did not start.
        """
        model = self._models.get(name)
        if model is None:
            raise UnknownModel(model=name, known=", ".join(self._models))
        if model.task != task:
            raise InvalidRequest(field="model", reason=f"{name!r} is a model for {model.task}, not for {task}")
        if model.state in {State.STARTING, State.UNWELL} or isinstance(model.engine, ServerEngine):
            raise NoWorker(model=name)
        if model.state is State.FAILED:
            raise EngineFailed(model=name, reason=model.reason)
        return model
