"""The catalogue: configured models and whether a worker serves them now, and the ways a question may be answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from services.api.domain.knowledge import WhenNothingFound
from services.foundation.settings.tree import Answering, Models, Preset, Settings


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One configured model."""

    name: str
    task: str
    engine: str
    running: bool
    is_default: bool


@dataclass(frozen=True, slots=True)
class Ways:
    """How a question may ask to be answered, all by name, and what holds where it does not say.

    Attributes:
        policies: what is answered where nothing was found.
        defaults: the settings of answers.
        top_k: passages looked for by default.
    """

    presets: Mapping[str, Preset]
    strategies: tuple[str, ...]
    memories: tuple[str, ...]
    policies: tuple[str, ...]
    defaults: Answering
    top_k: int

    @classmethod
    def of(cls, settings: Settings, strategies: Iterable[str], memories: Iterable[str]) -> Ways:
        """As the settings say, with what stands on the two shelves."""
        knowledge, policies = settings.knowledge, get_args(WhenNothingFound)
        return cls(
            settings.presets,
            tuple(strategies),
            tuple(memories),
            policies,
            knowledge.answering,
            knowledge.retrieval.top_k,
        )


class CatalogueService:
    """Joins the settings with what the gateway serves."""

    def __init__(self, models: Models, running: Callable[[], Awaitable[Collection[str]]], ways: Ways) -> None:
        self._models = models
        self._running = running
        self._ways = ways

    async def models(self) -> list[CatalogueEntry]:
        """Every configured model; raises ServiceUnreachable when the gateway does not answer."""
        running = await self._running()
        defaults = {self._models.default_chat, self._models.default_embedding}
        return [
            CatalogueEntry(name, served.task, served.engine, name in running, name in defaults)
            for name, served in self._models.served.items()
        ]

    def ways(self) -> Ways:
        """The ways a question may be answered."""
        return self._ways
