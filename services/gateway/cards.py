"""Cards: the list of models, with what the workers tell of theirs. Used by the routes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from services.foundation.errors import ChatchatError
from services.gateway.directory import Directory
from services.gateway.replicas import Route
from services.gateway.upstream import Upstream
from services.wire.openai import ModelCard, ModelList

log = logging.getLogger(__name__)
_ASK_SECONDS = 1.0


class Cards:
    """Lists the models that are served now.

    A worker that speaks OpenAI's wire is asked once, while it has its lease, how long its models' context is.
    """

    def __init__(self, directory: Directory, upstream: Upstream) -> None:
        self._directory = directory
        self._upstream = upstream
        self._told: dict[str, Mapping[str, int]] = {}

    async def all(self) -> list[ModelCard]:
        """The models with a live worker, by name. Raises as `Directory.tasks`."""
        tasks = await self._directory.tasks()
        return list(await asyncio.gather(*(self._card(model, task) for model, task in tasks.items())))

    async def one(self, model: str) -> ModelCard:
        """One live model. Raises as `Directory.task`."""
        return await self._card(model, await self._directory.task(model))

    def keep(self, live: set[str]) -> None:
        """Forget what workers told that have no lease any more."""
        for address in [known for known in self._told if known not in live]:
            del self._told[address]

    async def _card(self, model: str, task: str | None) -> ModelCard:
        card = ModelCard(id=model, task=task)
        length = await self._length(model, self._directory.known(model))
        return card if length is None else ModelCard.model_validate({**card.model_dump(), "max_model_len": length})

    async def _length(self, model: str, routes: Sequence[Route]) -> int | None:
        for route in routes:
            if route.dialect == "openai" and route.address not in self._told:
                await self._ask(route.address)
            length = self._told.get(route.address, {}).get(model)
            if length is not None:
                return length
        return None

    async def _ask(self, address: str) -> None:
        try:
            status, body = await self._upstream.get(f"{address}/v1/models", _ASK_SECONDS)
            listed = ModelList.model_validate_json(body).data if status == 200 else []
        except (ChatchatError, ValidationError) as failure:
            log.info("%s does not tell of its models: %s", address, type(failure).__name__)
            return
        lengths = {card.id: (card.model_extra or {}).get("max_model_len") for card in listed}
        self._told[address] = {name: length for name, length in lengths.items() if isinstance(length, int)}
