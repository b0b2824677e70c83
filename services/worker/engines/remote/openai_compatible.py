"""OpenAICompatibleEngine: relays to any provider that speaks OpenAI's wire. No network is touched before a request."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TypeVar

import httpx
from pydantic import BaseModel, Field, JsonValue, SecretStr

from services.clients.transport import CONNECT_SECONDS, unreachable
from services.foundation.errors import ChatchatError, InvalidSetting, NoWorker
from services.foundation.sse import read_events, split_lines
from services.wire.openai import (
    ChatChunk,
    ChatCompletionRequest,
    EmbeddingItem,
    EmbeddingRequest,
    EmbeddingResponse,
    RerankRequest,
    RerankResponse,
    RerankResult,
    Usage,
)
from services.worker.engines.base import EngineSpec
from services.worker.engines.options import Options, option_path, read_options
from services.worker.engines.remote.failures import Provider
from services.worker.engines.remote.stream import as_promised
from services.worker.engines.text import check_length, count_tokens

Answer = TypeVar("Answer", bound=BaseModel)


class _Vector(BaseModel):
    index: int
    embedding: list[float]


class _Embeddings(BaseModel):
    """A provider's embeddings; not all report usage."""

    data: list[_Vector]
    usage: Usage | None = None


class _Relevance(BaseModel):
    index: int
    relevance_score: float


class _Reranked(BaseModel):
    """A provider's ranking; what else it holds is not needed."""

    results: list[_Relevance]


class OpenAICompatibleOptions(Options):
    """Options of the openai_compatible engine."""

    base_url: str = Field(description="The provider's base URL, with the /v1 where it has one.")
    model: str | None = Field(default=None, description="What the provider calls the model; None: as we do.")
    api_key: SecretStr | None = Field(default=None, description="The provider's key.")
    timeout_seconds: float | None = Field(
        default=None, gt=0, description="Longest wait for the next byte; None: server.request_timeout_seconds."
    )
    proxy: str | None = Field(default=None, description="HTTP proxy; the environment's are ignored.")
    concurrency: int = Field(default=32, ge=1, description="Requests the provider runs at a time.")


class OpenAICompatibleEngine:
    """Chat, embeddings and rerank of a provider. Fields it does not know are passed on."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._options = read_options(spec, OpenAICompatibleOptions)
        self._timeout = self._options.timeout_seconds or spec.timeout_seconds
        self._origin = _origin(spec, self._options.base_url)
        self._provider = Provider(spec.model, spec.context_tokens, self._options.api_key)
        self._http: httpx.AsyncClient | None = None

    @property
    def concurrency(self) -> int:
        return self._options.concurrency

    async def start(self) -> None:
        key = self._options.api_key
        self._http = httpx.AsyncClient(
            base_url=self._options.base_url,
            timeout=httpx.Timeout(self._timeout, connect=CONNECT_SECONDS),
            trust_env=False,
            proxy=self._options.proxy,
            headers={} if key is None else {"authorization": f"Bearer {key.get_secret_value()}"},
            limits=httpx.Limits(keepalive_expiry=3.0, max_connections=None, max_keepalive_connections=50),
        )

    async def stop(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    def chat(self, request: ChatCompletionRequest) -> AsyncIterator[ChatChunk]:
        # Our count is a lower bound of any tokenizer's: what is too long by it is too long for the provider.
        prompt_tokens = check_length(request, self._spec.context_tokens)
        return as_promised(request.model, prompt_tokens, self._chunks(request))

    async def _chunks(self, request: ChatCompletionRequest) -> AsyncGenerator[ChatChunk, None]:
        payload = self._payload(request) | {"stream": True, "stream_options": {"include_usage": True}}
        try:
            async with self._client.stream("POST", "chat/completions", json=payload) as answer:
                if answer.is_error:
                    raise self._provider.refusal(answer.status_code, await answer.aread())
                async for text in read_events(split_lines(answer.aiter_bytes())):
                    if text == "[DONE]":
                        return
                    yield self._provider.parse(text, ChatChunk)
        except httpx.HTTPError as failure:
            raise self._unreachable(failure) from failure

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        payload = self._payload(request) | {"encoding_format": "float"}
        for ours in ("input_type", "skip_unreadable_above"):  # a provider may refuse what it does not know
            payload.pop(ours, None)
        answer = await self._exchange("embeddings", payload, _Embeddings)
        if sorted(item.index for item in answer.data) != list(range(len(request.texts))):
            raise self._provider.failed(f"{len(answer.data)} vectors came back for {len(request.texts)} texts")
        vectors = sorted(answer.data, key=lambda item: item.index)
        items = [EmbeddingItem(index=item.index, embedding=self._unit(item.embedding)) for item in vectors]
        usage = answer.usage or _counted(request.texts)
        return EmbeddingResponse(data=items, model=request.model, usage=usage)

    async def rerank(self, request: RerankRequest) -> RerankResponse:
        payload = self._payload(request) | {"return_documents": False, "top_n": len(request.documents)}
        answer = await self._exchange("rerank", payload, _Reranked)
        if any(not 0 <= result.index < len(request.documents) for result in answer.results):
            raise self._provider.failed("it ranked a document that was not given")
        are_logits = any(not 0 <= result.relevance_score <= 1 for result in answer.results)
        results = []
        for result in sorted(answer.results, key=lambda result: result.relevance_score, reverse=True):
            relevance = _logistic(result.relevance_score) if are_logits else result.relevance_score
            document = request.documents[result.index] if request.return_documents else None
            results.append(RerankResult(index=result.index, relevance_score=relevance, document=document))
        usage = _counted([request.query, *request.documents])
        return RerankResponse(model=request.model, results=results[: request.top_n], usage=usage)

    @property
    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            raise NoWorker(model=self._spec.model)
        return self._http

    def _payload(self, request: BaseModel) -> dict[str, JsonValue]:
        return {**request.model_dump(exclude_unset=True), "model": self._options.model or self._spec.model}

    async def _exchange(self, path: str, payload: dict[str, JsonValue], shape: type[Answer]) -> Answer:
        try:
            answer = await self._client.post(path, json=payload)
        except httpx.HTTPError as failure:
            raise self._unreachable(failure) from failure
        if answer.is_error:
            raise self._provider.refusal(answer.status_code, answer.content)
        return self._provider.parse(answer.content, shape)

    def _unreachable(self, failure: httpx.HTTPError) -> ChatchatError:
        return unreachable(f"provider of the model {self._spec.model!r}", self._origin, self._timeout, failure)

    def _unit(self, vector: list[float]) -> list[float]:
        length = math.sqrt(sum(number * number for number in vector))
        if not length or not math.isfinite(length):
            raise self._provider.failed("a vector is empty, zero or not finite")
        return [number / length for number in vector]


def _origin(spec: EngineSpec, base_url: str) -> str:
    """Scheme, host and port, without credentials: what a failure may show."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as failure:
        raise InvalidSetting(setting=option_path(spec, "base_url"), reason=str(failure)) from failure
    if url.scheme not in {"http", "https"} or not url.host:
        raise InvalidSetting(setting=option_path(spec, "base_url"), reason="it is not an http(s) URL")
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _counted(texts: Sequence[str]) -> Usage:
    tokens = sum(count_tokens(text) for text in texts)
    return Usage(prompt_tokens=tokens, total_tokens=tokens)


def _logistic(number: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, number))))
