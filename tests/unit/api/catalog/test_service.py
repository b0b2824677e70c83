"""The catalogue: what is configured joined with what runs."""

from __future__ import annotations

import pytest

from services.api.catalog.service import CatalogueEntry, CatalogueService, Ways
from services.foundation.errors import ServiceUnreachable
from services.foundation.settings.tree import Answering, Knowledge, Models, Preset, Retrieval, ServedModel, Settings

MODELS = Models(
    default_chat="talk",
    default_embedding="embed",
    served={
        "talk": ServedModel(task="chat", engine="extractive"),
        "more": ServedModel(task="chat", engine="openai_compatible"),
        "embed": ServedModel(task="embedding", engine="sentence_transformers"),
    },
)
SETTINGS = Settings(
    knowledge=Knowledge(
        retrieval=Retrieval(top_k=7), answering=Answering(strategy="stuff", when_nothing_found="strict")
    ),
    presets={"brief": Preset(top_k=1)},
)
WAYS = Ways.of(SETTINGS, ["auto", "stuff"], ["window"])


async def test_every_configured_model_is_listed_with_whether_it_runs():
    async def running() -> set[str]:
        return {"talk", "embed", "not ours"}

    assert await CatalogueService(MODELS, running, WAYS).models() == [
        CatalogueEntry("talk", "chat", "extractive", running=True, is_default=True),
        CatalogueEntry("more", "chat", "openai_compatible", running=False, is_default=False),
        CatalogueEntry("embed", "embedding", "sentence_transformers", running=True, is_default=True),
    ]


async def test_a_gateway_that_does_not_answer_is_named():
    async def running() -> set[str]:
        raise ServiceUnreachable(service="gateway", url="http://x", reason="refused")

    with pytest.raises(ServiceUnreachable):
        await CatalogueService(MODELS, running, WAYS).models()


async def test_the_ways_to_answer_are_those_of_the_settings_and_the_shelves():
    assert (
        Ways(
            presets={"brief": Preset(top_k=1)},
            strategies=("auto", "stuff"),
            memories=("window",),
            policies=("strict", "cautious", "free"),
            defaults=Answering(strategy="stuff", when_nothing_found="strict"),
            top_k=7,
        )
        == WAYS
    )
