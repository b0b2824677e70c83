"""GET /models: what can be chosen, and what runs. GET /server/answering: how a question may ask to be answered."""

from __future__ import annotations

from fastapi import APIRouter

from services.api.catalog.service import CatalogueService
from services.wire.chatchat import AnsweringOptions, Envelope, PresetBody, ServedModelBody


def router(service: CatalogueService) -> APIRouter:
    """The endpoints over a service."""
    routes = APIRouter(tags=["Catalogue"])

    @routes.get("/models")
    async def models() -> Envelope:
        entries = await service.models()
        return Envelope(
            data=[
                ServedModelBody(
                    name=entry.name,
                    task=entry.task,
                    engine=entry.engine,
                    running=entry.running,
                    is_default=entry.is_default,
                ).model_dump()
                for entry in entries
            ]
        )

    @routes.get("/server/answering")
    async def answering() -> Envelope:
        ways = service.ways()
        options = AnsweringOptions(
            presets=[PresetBody(name=name, **preset.model_dump()) for name, preset in ways.presets.items()],
            strategies=list(ways.strategies),
            memories=list(ways.memories),
            policies=list(ways.policies),
            strategy=ways.defaults.strategy,
            memory=ways.defaults.memory,
            when_nothing_found=ways.defaults.when_nothing_found,
            top_k=ways.top_k,
        )
        return Envelope(data=options.model_dump())

    return routes
