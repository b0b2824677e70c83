"""OpenAI's routes: the models, and the calls that the relay passes on."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from services.gateway.bodies import read_call
from services.gateway.directory import Directory
from services.gateway.relay import Relay
from services.wire.openai import ModelCard, ModelList


def router(directory: Directory, relay: Relay) -> APIRouter:
    """Every route of the gateway."""
    routes = APIRouter()
    routes.include_router(_models(directory))
    routes.include_router(_calls(relay))
    return routes


def _models(directory: Directory) -> APIRouter:
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models", response_model_exclude_none=True)
    async def models() -> ModelList:
        return ModelList(data=await directory.cards())

    @routes.get("/v1/models/{model:path}", response_model_exclude_none=True)
    async def model(model: str) -> ModelCard:
        return await directory.card(model)

    return routes


def _calls(relay: Relay) -> APIRouter:
    routes = APIRouter(tags=["inference"], default_response_class=Response)

    @routes.post("/v1/chat/completions")
    @routes.post("/v1chat/completions", include_in_schema=False)  # FastChat's alias
    async def chat_completions(request: Request) -> Response:
        return relay.respond(await read_call(request, "/v1/chat/completions"))

    @routes.post("/v1/completions")
    async def completions(request: Request) -> Response:
        return relay.respond(await read_call(request, "/v1/completions"))

    @routes.post("/v1/embeddings")
    async def embeddings(request: Request) -> Response:
        return relay.respond(await read_call(request, "/v1/embeddings"))

    @routes.post("/v1/engines/{model:path}/embeddings")
    async def engine_embeddings(request: Request, model: str) -> Response:
        return relay.respond(await read_call(request, "/v1/embeddings", model))

    @routes.post("/v1/rerank")
    async def rerank(request: Request) -> Response:
        return relay.respond(await read_call(request, "/v1/rerank"))

    return routes
