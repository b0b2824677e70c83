"""POST /knowledge_base/update_answering: how a base's questions are answered. It stands here, where the shelves are."""

from __future__ import annotations

from collections.abc import Mapping

from services.api.chat.asking import preset_named
from services.api.chat.strategies import STRATEGIES
from services.api.domain.knowledge import AnsweringChoice
from services.api.domain.names import KnowledgeBaseName
from services.api.knowledge.service import KnowledgeService
from services.foundation.settings.tree import Preset
from services.wire.chatchat import Envelope, UpdateAnswering


class Choosing:
    """Takes the choice for a base after its names were looked up: a misspelt one is told now, not with a question."""

    def __init__(self, knowledge: KnowledgeService, presets: Mapping[str, Preset]) -> None:
        self._knowledge = knowledge
        self._presets = presets

    async def update_answering(self, body: UpdateAnswering) -> Envelope:
        """Say how questions to a base are answered where they do not say it themselves."""
        name, wanted = KnowledgeBaseName.parse(body.knowledge_base_name), body.answering
        if wanted.strategy is not None:
            STRATEGIES.load(wanted.strategy)
        if wanted.preset is not None:
            preset_named(wanted.preset, self._presets)
        await self._knowledge.choose_answering(name, AnsweringChoice(**wanted.model_dump()))
        return Envelope(data=wanted.model_dump())
