"""FastChat's POST /api/v1/token_check: do these prompts and their answers fit their models? Used by the routes."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import orjson
from pydantic import BaseModel, Field, JsonValue, ValidationError

from services.foundation.errors import ProviderFailed, ServiceUnreachable
from services.gateway.directory import Directory
from services.gateway.failures import failure_of
from services.gateway.replicas import Replicas, Route
from services.gateway.upstream import Upstream
from services.wire.openai import Incoming, Outgoing

_M = TypeVar("_M", bound=BaseModel)


class CheckedPrompt(Incoming):
    """One prompt, and how long its answer may be."""

    model: str = Field(min_length=1, max_length=200)
    prompt: str
    max_tokens: int = Field(ge=0, le=1_048_576)


class TokenCheckRequest(Incoming):
    """Body of POST /api/v1/token_check."""

    prompts: list[CheckedPrompt] = Field(min_length=1, max_length=64)


class TokenCheck(Outgoing):
    """Whether one prompt fits, in FastChat's words."""

    fits: bool
    contextLength: int  # noqa: N815 - FastChat's name
    tokenCount: int  # noqa: N815


class TokenCheckResponse(Outgoing):
    """Answer of POST /api/v1/token_check."""

    prompts: list[TokenCheck]


class _Counted(BaseModel):
    count: int
    max_model_len: int


class _FastChatCount(BaseModel):
    count: int


class _FastChatDetails(BaseModel):
    context_length: int


class TokenChecks:
    """Asks the workers."""

    def __init__(self, directory: Directory, replicas: Replicas, upstream: Upstream) -> None:
        self._directory = directory
        self._replicas = replicas
        self._upstream = upstream

    async def answer(self, request: TokenCheckRequest, request_id: str) -> TokenCheckResponse:
        """Check every prompt.

        Raises:
            UnknownModel, NoWorker: for one of the models.
            ServiceUnreachable, TookTooLong, ProviderFailed, InvalidRequest: a worker does not answer, or refuses.
        """
        return TokenCheckResponse(
            prompts=list(await asyncio.gather(*(self._check(prompt, request_id) for prompt in request.prompts)))
        )

    async def _check(self, prompt: CheckedPrompt, request_id: str) -> TokenCheck:
        route = self._replicas.choose(await self._directory.routes(prompt.model))
        try:
            counted = await self._counted(route, prompt, request_id)
        except ServiceUnreachable:
            self._replicas.set_aside(route.address)
            route = self._replicas.choose(await self._directory.look_up(prompt.model))
            counted = await self._counted(route, prompt, request_id)
        fits = counted.count + prompt.max_tokens <= counted.max_model_len
        return TokenCheck(fits=fits, contextLength=counted.max_model_len, tokenCount=counted.count)

    async def _counted(self, route: Route, prompt: CheckedPrompt, request_id: str) -> _Counted:
        asked: dict[str, JsonValue] = {"model": prompt.model, "prompt": prompt.prompt}
        with self._replicas.busy(route.address):
            if route.dialect == "openai":
                return await self._ask(_Counted, f"{route.address}/tokenize", asked, request_id)
            details = await self._ask(_FastChatDetails, f"{route.address}/model_details", asked, request_id)
            count = await self._ask(_FastChatCount, f"{route.address}/count_token", asked, request_id)
            return _Counted(count=count.count, max_model_len=details.context_length)

    async def _ask(self, message: type[_M], url: str, asked: dict[str, JsonValue], request_id: str) -> _M:
        status, body = await self._upstream.fetch(url, asked, request_id)
        model = str(asked["model"])
        try:
            if status >= 400:
                raise failure_of(status, orjson.loads(body), model, request_id)
            return message.model_validate_json(body)
        except (ValueError, ValidationError) as failure:
            raise ProviderFailed(model=model, reason="its worker cannot count tokens") from failure
