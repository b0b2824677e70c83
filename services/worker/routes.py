"""The data plane: OpenAI's wire. Called by the gateway, and by anyone who speaks OpenAI."""

from __future__ import annotations

import base64
import struct

from fastapi import APIRouter, Request, Response
from pydantic import JsonValue

from services.foundation.errors import InvalidRequest
from services.wire.openai import (
    ChatCompletion,
    ChatCompletionRequest,
    Completion,
    CompletionRequest,
    EmbeddingItem,
    EmbeddingRequest,
    EmbeddingResponse,
    ModelCard,
    ModelList,
    RerankRequest,
    RerankResponse,
    TokenizeRequest,
    TokenizeResponse,
)
from services.worker.answers.assembly import whole_chat, whole_text
from services.worker.answers.choices import chat_choices, check_sampling, prompts_of, text_choices
from services.worker.answers.events import event_stream
from services.worker.answers.running import answer, stream
from services.worker.engines.text import count_tokens
from services.worker.hosted import State
from services.worker.hosting import Hosting

INPUT_LIMIT = 2048
_STREAMS: dict[int | str, dict[str, JsonValue]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The answer, whole or as a stream of chunks."}
}


def router(hosting: Hosting) -> APIRouter:
    """The routes over the models of this worker."""
    routes = APIRouter(prefix="/v1", tags=["OpenAI"])

    @routes.get("/models")
    async def models() -> ModelList:
        started = [model for model in hosting.models if model.state is State.STARTED]
        return ModelList(data=[ModelCard(id=model.name, task=model.task) for model in started])

    _add_generation(routes, hosting)
    _add_vectors(routes, hosting)
    return routes


def tokenizing_router(hosting: Hosting) -> APIRouter:
    """The route /tokenize of vLLM, so that a client counts as the model does."""
    routes = APIRouter(tags=["OpenAI"])

    @routes.post("/tokenize")
    async def tokenize(body: TokenizeRequest) -> TokenizeResponse:
        model, engine = hosting.tokenizing(body.model)
        if (body.prompt is None) == (body.messages is None):
            raise InvalidRequest(field="prompt", reason="give either prompt or messages")
        if engine is not None:
            return await engine.tokenize(body)
        texts = [body.prompt or ""] if body.messages is None else [message.text for message in body.messages]
        return TokenizeResponse(count=sum(count_tokens(text) for text in texts), max_model_len=model.context_tokens)

    return routes


def _add_generation(routes: APIRouter, hosting: Hosting) -> None:
    @routes.post("/chat/completions", response_model=None, responses=_STREAMS)
    async def chat(body: ChatCompletionRequest, request: Request) -> ChatCompletion | Response:
        engine, slots = hosting.chat(body.model)
        check_sampling(body)
        chunks = chat_choices(engine, body)
        if body.stream:
            return await stream(request, slots, chunks, lambda items: event_stream(request, items, body))
        return await answer(request, slots, lambda: whole_chat(body.model, slots.watch(chunks)))

    @routes.post("/completions", response_model=None, responses=_STREAMS)
    async def completions(body: CompletionRequest, request: Request) -> Completion | Response:
        engine, slots = hosting.chat(body.model)
        check_sampling(body)
        prompts_of(body)
        events = text_choices(engine, body)
        if body.stream:
            return await stream(request, slots, events, lambda items: event_stream(request, items, body))
        return await answer(request, slots, lambda: whole_text(body.model, slots.watch(events)))


def _add_vectors(routes: APIRouter, hosting: Hosting) -> None:
    @routes.post("/embeddings", response_model_exclude_none=True)
    async def embeddings(body: EmbeddingRequest, request: Request) -> EmbeddingResponse:
        engine, slots = hosting.embedding(body.model)
        if not body.texts or not all(body.texts):
            raise InvalidRequest(field="input", reason="it is empty, or one of its texts is")
        if len(body.texts) > INPUT_LIMIT:
            raise InvalidRequest(field="input", reason=f"{len(body.texts)} texts are more than {INPUT_LIMIT}")
        embedded = await answer(request, slots, lambda: engine.embed(body))
        if body.encoding_format == "base64":
            embedded.data = [_packed(item) for item in embedded.data]
        return embedded

    @routes.post("/rerank", response_model_exclude_none=True)
    async def rerank(body: RerankRequest, request: Request) -> RerankResponse:
        engine, slots = hosting.rerank(body.model)
        return await answer(request, slots, lambda: engine.rerank(body))


def _packed(item: EmbeddingItem) -> EmbeddingItem:
    """The vector as OpenAI packs it: base64 of little-endian 32-bit floats."""
    if isinstance(item.embedding, str):
        return item
    packed = struct.pack(f"<{len(item.embedding)}f", *item.embedding)
    return item.model_copy(update={"embedding": base64.b64encode(packed).decode("ascii")})
