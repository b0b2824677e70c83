"""The catalogue: configured models and whether a worker serves them now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from services.foundation.settings.tree import Models


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One configured model."""

    name: str
    task: str
    engine: str
    running: bool
    is_default: bool


class CatalogueService:
    """Joins the settings with what the gateway serves."""

    def __init__(self, models: Models, running: Callable[[], Awaitable[Collection[str]]]) -> None:
        self._models = models
        self._running = running

    async def models(self) -> list[CatalogueEntry]:
        """Every configured model; raises ServiceUnreachable when the gateway does not answer."""
        running = await self._running()
        defaults = {self._models.default_chat, self._models.default_embedding}
        return [
            CatalogueEntry(name, served.task, served.engine, name in running, name in defaults)
            for name, served in self._models.served.items()
        ]
