"""GET /models: what can be chosen, and what runs."""

from __future__ import annotations

from fastapi import APIRouter

from services.api.catalog.service import CatalogueService
from services.wire.chatchat import Envelope, ServedModelBody


def router(service: CatalogueService) -> APIRouter:
    """The endpoint over a service."""
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

    return routes
