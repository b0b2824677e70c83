"""The gateway's routes: the models, and the calls that the relay passes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from services.foundation.http import request_id_of, while_connected
from services.gateway.bodies import as_call, read_body
from services.gateway.callers import Callers
from services.gateway.cards import Cards
from services.gateway.limits import check
from services.gateway.relay import Relay
from services.gateway.token_check import TokenCheckRequest, TokenCheckResponse, TokenChecks
from services.gateway.watching import until_gone
from services.wire.openai import ModelCard, ModelList

_PATHS = {
    "/v1/chat/completions": "/v1/chat/completions",
    "/v1chat/completions": "/v1/chat/completions",  # FastChat's aliases
    "/api/v1/chat/completions": "/v1/chat/completions",
    "/v1/completions": "/v1/completions",
    "/v1/responses": "/v1/responses",
    "/v1/embeddings": "/v1/embeddings",
    "/v1/engines/{model:path}/embeddings": "/v1/embeddings",
    "/v1/rerank": "/v1/rerank",
    "/rerank": "/v1/rerank",
    "/tokenize": "/tokenize",  # vLLM's
    "/v1/tokenize": "/tokenize",
    "/detokenize": "/detokenize",
    "/v1/detokenize": "/detokenize",
}
"""Path here → path at the worker."""


def model_routes(cards: Cards) -> APIRouter:
    """The list of models."""
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models", response_model_exclude_none=True)
    async def models() -> ModelList:
        return ModelList(data=await cards.all())

    @routes.get("/v1/models/{model:path}", response_model_exclude_none=True)
    async def model(model: str) -> ModelCard:
        return await cards.one(model)

    return routes


def token_check_routes(callers: Callers, checks: TokenChecks) -> APIRouter:
    """FastChat's question whether prompts fit."""
    routes = APIRouter(tags=["tokens"])

    @routes.post("/api/v1/token_check")
    async def token_check(body: TokenCheckRequest, request: Request) -> TokenCheckResponse:
        with callers.one_more(request.scope):
            return await while_connected(request, checks.answer(body, request_id_of(request)))

    return routes


def inference_routes(callers: Callers, relay: Relay) -> Sequence[Relayed]:
    """The calls that are relayed, in the service's description as any other route."""
    return [Relayed(path, Inference(reached, callers, relay)) for path, reached in _PATHS.items()]


class Relayed(APIRoute):
    """A route to a plain ASGI application: it is in the service's description, and refuses other methods.

    A path without parameters is answered before the routes are looked at (`Service.answer_directly`).
    """

    def __init__(self, path: str, inference: Inference) -> None:
        shown = path == inference.path
        super().__init__(path, _relayed, methods=["POST"], tags=["inference"], include_in_schema=shown)
        self.app = inference


async def _relayed() -> None:
    """The body goes to a worker of its model as it is, with every field it has; so does the answer."""


@dataclass(frozen=True)
class Inference:
    """One relayed call as an ASGI application.

    Attributes:
        path: the worker's.
        callers: how many each may have running.
        relay: passes it on.
    """

    path: str
    callers: Callers
    relay: Relay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.callers.one_more(scope):
            body = await read_body(receive)
            call = as_call(body, self.path, scope["chatchat.request_id"], scope.get("path_params", {}).get("model"))
            check(call)
            await until_gone(receive, self.relay.serve(call, scope, send))
