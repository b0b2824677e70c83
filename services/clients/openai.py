"""OpenAIClient: chat, embeddings, rerank and models over OpenAI's wire. Gateway and workers speak the same."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType

import httpx
from pydantic import JsonValue, SecretStr

from services.clients.transport import async_client, decode, decode_failure, failure_in, unreachable
from services.foundation.errors import ProviderFailed
from services.foundation.sse import read_events, split_lines
from services.wire.openai import (
    ChatChunk,
    ChatCompletionRequest,
    EmbeddingRequest,
    EmbeddingResponse,
    ModelList,
    RerankRequest,
    RerankResponse,
)


class OpenAIClient:
    """Talks to one OpenAI-compatible server of ours.

    All methods raise the failure the server named (`UnknownModel`, `NoWorker`, …), `ServiceUnreachable` when there is
    no answer, `TookTooLong` when it came too late, and `ProviderFailed` for an answer that is not ours to read.

    Args:
        base_url: without the `/v1`.
        timeout_seconds: longest wait for the next byte.
        key: access key, when the server asks for one.
        service: what the server is called in failures.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_seconds: float,
        key: SecretStr | None = None,
        service: str = "OpenAI-compatible server",
    ) -> None:
        self._http = async_client(base_url, timeout_seconds=timeout_seconds, key=key)
        self._timeout = timeout_seconds
        self._service = service

    async def __aenter__(self) -> OpenAIClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def models(self) -> ModelList:
        """What is served."""
        return decode(ModelList, await self._exchange("GET", "/v1/models", None), self._service)

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        input_type: str | None = None,
        skip_unreadable_above: float | None = None,
    ) -> EmbeddingResponse:
        """One vector a text, in order.

        Args:
            model: name of the embedding model.
            texts: what is embedded.
            input_type: "query" or "passage".
            skip_unreadable_above: texts with a larger share of unknown tokens get an empty vector.
        """
        fields = {"input_type": input_type, "skip_unreadable_above": skip_unreadable_above}
        request = EmbeddingRequest.model_validate({"model": model, "input": list(texts), **fields})
        body = await self._exchange("POST", "/v1/embeddings", request.model_dump(exclude_none=True))
        return decode(EmbeddingResponse, body, self._service)

    async def rerank(self, request: RerankRequest) -> RerankResponse:
        """Relevance of each document to the query."""
        body = await self._exchange("POST", "/v1/rerank", request.model_dump(exclude_none=True))
        return decode(RerankResponse, body, self._service)

    async def chat(self, request: ChatCompletionRequest) -> AsyncGenerator[ChatChunk, None]:
        """Stream a chat completion. Closing the iterator closes the connection, which stops the engine."""
        payload = {**request.model_dump(exclude_none=True), "stream": True, "stream_options": {"include_usage": True}}
        try:
            async with self._http.stream("POST", "/v1/chat/completions", json=payload) as answer:
                if answer.is_error:
                    raise decode_failure(await answer.aread(), answer.status_code, self._service)
                async for text in read_events(split_lines(answer.aiter_bytes())):
                    if text == "[DONE]":
                        return
                    yield self._chunk(text)
        except httpx.HTTPError as failure:
            raise self._unreachable(failure) from failure

    def _chunk(self, text: str) -> ChatChunk:
        try:
            parsed: JsonValue = json.loads(text)
        except ValueError as failure:
            raise ProviderFailed(model=self._service, reason="an event of the stream is not JSON") from failure
        failed = failure_in(parsed)
        if failed is not None:
            raise failed
        if isinstance(parsed, Mapping) and "error" in parsed:
            raise ProviderFailed(model=self._service, reason=json.dumps(parsed["error"], ensure_ascii=False)[:300])
        return decode(ChatChunk, text.encode(), self._service)

    async def _exchange(self, method: str, path: str, payload: Mapping[str, JsonValue] | None) -> bytes:
        try:
            answer = await self._http.request(method, path, json=payload)
        except httpx.HTTPError as failure:
            raise self._unreachable(failure) from failure
        if answer.is_error:
            raise decode_failure(answer.content, answer.status_code, self._service)
        return answer.content

    def _unreachable(self, failure: httpx.HTTPError) -> Exception:
        return unreachable(self._service, str(self._http.base_url), self._timeout, failure)
