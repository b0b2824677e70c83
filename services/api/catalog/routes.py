"""What can be chosen: models, ways to be answered, and prompts as they are written."""

from __future__ import annotations

from fastapi import APIRouter, Request

from services.api.catalog.service import CatalogueService
from services.api.domain.ports import Prompts
from services.foundation.http import language_of
from services.wire.chatchat import AnsweringOptions, Envelope, PresetBody, PromptTemplateRequest, ServedModelBody


def router(service: CatalogueService, prompts: Prompts, language: str) -> APIRouter:
    """The endpoints over a service and the prompts. `language`: of a template, when a client names none."""
    routes = APIRouter()

    @routes.get("/models", tags=["Catalogue"])
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

    @routes.get("/server/answering", tags=["Catalogue"])
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

    @routes.post("/server/get_prompt_template", tags=["Server State"])
    async def get_prompt_template(request: Request, body: PromptTemplateRequest | None = None) -> str:
        asked = body or PromptTemplateRequest()
        return prompts.template(asked.type, asked.name, language_of(request, language))

    return routes
