"""FastChat's worker wire, so that stock FastChat programs can use this worker.

Source: fastchat/serve/base_model_worker.py and openai_api_server.py of fschat 0.2.36. A stream is NUL-terminated JSON
with cumulative text. FastChat renders prompts itself; the conversation template we hand out is ChatML, which
`fastchat_prompt` reads back into messages.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, ValidationError

from services.clients.supervisor import SupervisorClient
from services.foundation.errors import ChatchatError, InvalidRequest, Kind, NoSupervisor
from services.wire.control import ReleaseAnswer, ReplaceModel, WorkerStatus
from services.wire.openai import ChatChunk, ChatCompletionRequest, EmbeddingRequest, Usage
from services.worker.answers.choices import chat_choices
from services.worker.answers.running import answer, stream
from services.worker.engines.text import count_tokens
from services.worker.fastchat_prompt import CONVERSATION, messages_in
from services.worker.hosting import Hosting

log = logging.getLogger(__name__)

Fields = dict[str, JsonValue]

_CODES: Mapping[str, int] = {
    "request.invalid": 40302,
    "model.unknown": 40301,
    "model.context_too_long": 40303,
    "model.busy": 42903,
    "model.no_worker": 50005,
}
_INTERNAL_CODE = 50001
_TIMEOUT_CODE = 50006


class _Named(BaseModel):
    """A body that may name a model."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())
    model: str | None = None


class GenerateParameters(_Named):
    """Body of /worker_generate and /worker_generate_stream; FastChat sends more, which engines here do not know."""

    prompt: str = ""
    temperature: float | None = None
    top_p: float | None = None
    max_new_tokens: int | None = None
    stop: str | list[str] | None = None
    echo: bool = False


class CountParameters(_Named):
    """Body of /count_token."""

    prompt: str = ""


class EmbeddingParameters(_Named):
    """Body of /worker_get_embeddings."""

    input: list[str] = Field(min_length=1)


class ReleaseParameters(BaseModel):
    """Body of /release, 0.2.10's addition to FastChat's wire."""

    new_model_name: str | None = None
    keep_origin: bool = False


def router(hosting: Hosting) -> APIRouter:
    """The routes over the models of this worker. A failure is an answer with an `error_code`, as FastChat's are."""
    routes = APIRouter(tags=["FastChat"])
    _add_generation(routes, hosting)
    _add_embeddings(routes, hosting)
    _add_descriptions(routes, hosting)
    _add_release(routes, hosting)
    return routes


def _add_generation(routes: APIRouter, hosting: Hosting) -> None:

    @routes.post("/worker_generate_stream")
    async def worker_generate_stream(body: GenerateParameters, request: Request) -> Response:
        try:
            asked = _as_chat(body, _name(hosting, body, "chat"))
            engine, slots = hosting.chat(asked.model)
            messages = _messages(chat_choices(engine, asked), asked, body)
            return await stream(request, slots, messages, _terminated)
        except ChatchatError as failure:
            return Response(_packed(_failure(failure)))

    @routes.post("/worker_generate")
    async def worker_generate(body: GenerateParameters, request: Request) -> Fields:
        try:
            asked = _as_chat(body, _name(hosting, body, "chat"))
            engine, slots = hosting.chat(asked.model)
            messages = _messages(chat_choices(engine, asked), asked, body)
            return await answer(request, slots, lambda: _last(messages))
        except ChatchatError as failure:
            return _failure(failure)


def _add_embeddings(routes: APIRouter, hosting: Hosting) -> None:
    @routes.post("/worker_get_embeddings")
    async def worker_get_embeddings(body: EmbeddingParameters, request: Request) -> JSONResponse:
        try:
            asked = EmbeddingRequest(model=_name(hosting, body, "embedding"), input=body.input)
            engine, slots = hosting.embedding(asked.model)
            embedded = await answer(request, slots, lambda: engine.embed(asked))
        except ChatchatError as failure:
            return JSONResponse(_failure(failure))
        vectors = [item.embedding for item in sorted(embedded.data, key=lambda item: item.index)]
        return JSONResponse({"embedding": vectors, "token_num": embedded.usage.total_tokens})


def _add_descriptions(routes: APIRouter, hosting: Hosting) -> None:
    @routes.post("/worker_get_status")
    async def worker_get_status() -> WorkerStatus:
        return hosting.status()

    @routes.post("/count_token")
    async def count_token(body: CountParameters) -> Fields:
        return {"count": count_tokens(body.prompt), "error_code": 0}

    @routes.post("/model_details")
    async def model_details(body: _Named) -> Fields:
        model = hosting.find(_name(hosting, body, "chat"), "chat")
        return {"context_length": model.context_tokens}

    @routes.post("/worker_get_conv_template")
    async def worker_get_conv_template() -> Fields:
        return {"conv": CONVERSATION}


def _add_release(routes: APIRouter, hosting: Hosting) -> None:
    @routes.post("/release", response_model_exclude_none=True)
    async def release(body: ReleaseParameters, request: Request) -> ReleaseAnswer:
        """Relay to the supervisor, with the caller's own key; as in 0.2.10 nobody waits for what comes of it."""
        shown = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            await _release(hosting, body, SecretStr(shown) if shown else None)
        except ChatchatError as failure:
            return ReleaseAnswer(code=500, msg=str(failure))
        return ReleaseAnswer(msg="done")


async def _release(hosting: Hosting, body: ReleaseParameters, key: SecretStr | None) -> None:
    model, new, address = hosting.models[0].name, body.new_model_name, hosting.status().supervisor
    if address is None:
        raise NoSupervisor(model=model)
    async with SupervisorClient(address, token=key) as supervisor:
        if new and body.keep_origin:
            await supervisor.begin_start(new)
        elif new:
            await supervisor.begin_replace(model, ReplaceModel(by=new))
        elif not body.keep_origin:
            await supervisor.begin_stop(model)


def _name(hosting: Hosting, body: _Named, task: str) -> str:
    """The model a body names; FastChat's bodies may leave it out, meaning the worker's only one."""
    suitable = [model.name for model in hosting.models if model.task == task]
    return body.model or (suitable or [model.name for model in hosting.models])[0]


def _as_chat(body: GenerateParameters, model: str) -> ChatCompletionRequest:
    asked = {
        "model": model,
        "messages": messages_in(body.prompt),
        "temperature": body.temperature,
        "top_p": body.top_p or None,
        "max_tokens": body.max_new_tokens,
        "stop": body.stop,
    }
    try:
        return ChatCompletionRequest.model_validate(asked)
    except ValidationError as failure:
        first = failure.errors()[0]
        raise InvalidRequest(field=".".join(str(part) for part in first["loc"]), reason=first["msg"]) from failure


async def _messages(
    chunks: AsyncGenerator[ChatChunk, None], asked: ChatCompletionRequest, body: GenerateParameters
) -> AsyncGenerator[Fields, None]:
    text, reason = body.prompt if body.echo else "", None
    prompt_tokens, written = sum(count_tokens(message.text) for message in asked.messages), 0
    async with aclosing(chunks):
        async for chunk in chunks:
            if chunk.usage is not None:
                yield _message(text, reason, chunk.usage)
            for choice in chunk.choices:
                reason = choice.finish_reason or reason
                if choice.delta.content:
                    text += choice.delta.content
                    written += count_tokens(choice.delta.content)
                    yield _message(
                        text,
                        None,
                        Usage(
                            prompt_tokens=prompt_tokens, completion_tokens=written, total_tokens=prompt_tokens + written
                        ),
                    )


def _message(text: str, reason: str | None, usage: Usage) -> Fields:
    return {"text": text, "error_code": 0, "usage": usage.model_dump(), "finish_reason": reason}


def _failure(failure: ChatchatError) -> Fields:
    code = _CODES.get(failure.code, _TIMEOUT_CODE if failure.kind is Kind.TIMEOUT else _INTERNAL_CODE)
    log.warning("FastChat request failed: %s", failure)
    return {"text": str(failure), "error_code": code}


async def _last(messages: AsyncGenerator[Fields, None]) -> Fields:
    last: Fields = {}
    async with aclosing(messages):
        async for message in messages:
            last = message
    return last


def _terminated(messages: AsyncGenerator[Fields, None]) -> Response:
    async def packed() -> AsyncGenerator[bytes, None]:
        try:
            async for message in messages:
                yield _packed(message)
        except ChatchatError as failure:
            yield _packed(_failure(failure))

    return StreamingResponse(packed())


def _packed(message: Fields) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode() + b"\0"
