"""OpenAI's wire in front of a worker that speaks only FastChat's: chat, completions and embeddings, translated."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError
from starlette.responses import JSONResponse, Response

from services.foundation.errors import (
    ChatchatError,
    ContextTooLong,
    EngineFailed,
    InvalidRequest,
    ProviderFailed,
    ServiceUnreachable,
    WorkerBusy,
    WorkerLost,
)
from services.foundation.http import openai_body
from services.foundation.sse import event_response
from services.gateway.bodies import Call
from services.gateway.fastchat_prompt import Template, render
from services.gateway.upstream import Upstream
from services.wire.openai import (
    ChatChoice,
    ChatChunk,
    ChatCompletion,
    ChatCompletionRequest,
    ChoiceMessage,
    ChunkChoice,
    Completion,
    CompletionRequest,
    Delta,
    EmbeddingItem,
    EmbeddingRequest,
    EmbeddingResponse,
    SamplingRequest,
    TextChoice,
    Usage,
    new_id,
)

_ENGINE_CODES = frozenset({50001, 50002})  # fastchat.constants.ErrorCode: INTERNAL_ERROR, CUDA_OUT_OF_MEMORY
_REQUEST_CODES = frozenset({40001, 40302, 40303})  # VALIDATION_TYPE_ERROR, PARAM_OUT_OF_RANGE, CONTEXT_OVERFLOW
_BUSY_CODES = frozenset({42901, 42902, 42903})  # RATE_LIMIT, QUOTA_EXCEEDED, ENGINE_OVERLOADED
_EMBED_BATCH = 4  # FastChat's own server sends no more: its workers pad a batch to its longest text
_UNTRANSLATABLE = ("tools", "functions", "response_format", "logprobs", "logit_bias", "suffix", "echo")
_M = TypeVar("_M", bound=BaseModel)


class _ConvAnswer(BaseModel):
    conv: Template


class _LengthAnswer(BaseModel):
    context_length: int


class _CountAnswer(BaseModel):
    count: int


class _EmbeddingAnswer(BaseModel):
    embedding: list[list[float]]
    token_num: int = 0


class Piece(BaseModel):
    """One message of a FastChat stream; `text` is all of the answer so far."""

    text: str = ""
    error_code: int = 0
    usage: Usage | None = None
    finish_reason: str | None = None


@dataclass(slots=True)
class Ending:
    """What is known of an answer when it is over."""

    reason: str = "stop"
    usage: Usage | None = None


class _Shape(Protocol):
    """How an endpoint writes an answer."""

    def opening(self) -> Sequence[BaseModel]: ...

    def piece(self, text: str, finish_reason: str | None = None) -> BaseModel: ...

    def last(self, usage: Usage | None) -> BaseModel: ...

    def whole(self, text: str, ending: Ending) -> BaseModel: ...


@dataclass(frozen=True, slots=True)
class _Generation:
    """A checked request, on its way."""

    address: str
    call: Call
    request: SamplingRequest
    parameters: Mapping[str, JsonValue]
    shape: _Shape


class FastChatDialect:
    """Translates calls for stock FastChat workers. Failures a worker reports become ours."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def respond(self, address: str, call: Call) -> Response:
        """Answer a call through the worker at `address`.

        Raises:
            InvalidRequest: the body is malformed or asks for something FastChat's wire cannot say.
            ContextTooLong: the prompt leaves no room for an answer.
            ProviderFailed, EngineFailed, WorkerBusy: the worker reported an error.
            ServiceUnreachable, TookTooLong: it cannot be reached.
        """
        if call.path == "/v1/chat/completions":
            return await self._answer(await self._chat(address, call))
        if call.path == "/v1/completions":
            return await self._answer(await self._completion(address, call))
        if call.path == "/v1/embeddings":
            return await self._embed(address, call)
        raise InvalidRequest(field="model", reason=f"its worker speaks FastChat's wire, which has no {call.path}")

    async def _chat(self, address: str, call: Call) -> _Generation:
        request = parsed(ChatCompletionRequest, call)
        answer = await self._ask(address, "worker_get_conv_template", {"model": call.model}, call)
        template = _read(_ConvAnswer, answer, call.model).conv
        prompt = render(template, request.messages)
        room = await self._room(address, call, prompt, request.token_limit)
        parameters = generation_parameters(request, prompt, room, template.stops)
        parameters["stop_token_ids"] = list(template.stop_token_ids or [])
        return _Generation(address, call, request, parameters, ChatShape(call.model))

    async def _completion(self, address: str, call: Call) -> _Generation:
        request = parsed(CompletionRequest, call)
        prompts = [request.prompt] if isinstance(request.prompt, str) else request.prompt
        if len(prompts) != 1:
            raise InvalidRequest(field="prompt", reason="its worker takes one prompt at a time")
        room = await self._room(address, call, prompts[0], request.max_tokens)
        parameters = generation_parameters(request, prompts[0], room, [])
        return _Generation(address, call, request, parameters, TextShape(call.model))

    async def _room(self, address: str, call: Call, prompt: str, wanted: int | None) -> int:
        """Tokens the answer may have. A worker given more than fits would cut the prompt without saying so."""
        length = await self._ask(address, "model_details", {"model": call.model}, call)
        limit = _read(_LengthAnswer, length, call.model).context_length
        counted = await self._ask(address, "count_token", {"model": call.model, "prompt": prompt}, call)
        tokens = _read(_CountAnswer, counted, call.model).count
        if tokens >= limit:
            raise ContextTooLong(tokens=tokens, model=call.model, limit=limit)
        return min(wanted or limit, limit - tokens)

    async def _answer(self, generation: _Generation) -> Response:
        if generation.request.stream:
            request_id, model = generation.call.request_id, generation.call.model
            return event_response(
                self._events(generation),
                failure=lambda error: json.dumps(openai_body(_lost(error, model), request_id), ensure_ascii=False),
                separator="\n",
            )
        ending = Ending()
        texts = [text async for text in deltas(self._pieces(generation), generation.call.model, ending)]
        return _json(generation.shape.whole("".join(texts), ending))

    async def _events(self, generation: _Generation) -> AsyncGenerator[str, None]:
        shape, options, ending = generation.shape, generation.request.stream_options, Ending()
        for message in shape.opening():
            yield _dump(message)
        async with aclosing(deltas(self._pieces(generation), generation.call.model, ending)) as texts:
            async for text in texts:
                yield _dump(shape.piece(text))
        yield _dump(shape.piece("", ending.reason))
        if options is not None and options.include_usage:
            yield _dump(shape.last(ending.usage))
        yield "[DONE]"

    async def _pieces(self, generation: _Generation) -> AsyncGenerator[Piece, None]:
        body = json.dumps(generation.parameters).encode()
        url = f"{generation.address}/worker_generate_stream"
        model = generation.call.model
        async with self._upstream.open(url, body, generation.call.request_id) as answer:
            if answer.status != 200:
                raise ProviderFailed(model=model, reason=f"HTTP {answer.status} from the worker")
            async for message in messages(answer.chunks()):
                yield _read(Piece, message, model)

    async def _embed(self, address: str, call: Call) -> Response:
        request = parsed(EmbeddingRequest, call)
        if request.dimensions is not None:
            raise InvalidRequest(field="dimensions", reason="its worker gives vectors of one length only")
        vectors: list[list[float]] = []
        tokens = 0
        for start in range(0, len(request.texts), _EMBED_BATCH):
            batch: list[JsonValue] = [*request.texts[start : start + _EMBED_BATCH]]
            body = await self._ask(address, "worker_get_embeddings", {"model": call.model, "input": batch}, call)
            answer = _read(_EmbeddingAnswer, body, call.model)
            if len(answer.embedding) != len(batch):
                raise ProviderFailed(model=call.model, reason="the worker gave another number of vectors than texts")
            vectors += answer.embedding
            tokens += answer.token_num
        items = [
            EmbeddingItem(index=index, embedding=encoded(vector, request.encoding_format))
            for index, vector in enumerate(vectors)
        ]
        usage = Usage(prompt_tokens=tokens, total_tokens=tokens)
        return _json(EmbeddingResponse(data=items, model=call.model, usage=usage))

    async def _ask(self, address: str, route: str, payload: Mapping[str, JsonValue], call: Call) -> bytes:
        status, body = await self._upstream.fetch(f"{address}/{route}", payload, call.request_id)
        if status != 200:
            raise ProviderFailed(model=call.model, reason=f"HTTP {status} from the worker's /{route}")
        reported = _read(Piece, body, call.model)
        if reported.error_code:
            raise failure_of(reported, call.model)
        return body


def parsed(message: type[_M], call: Call) -> _M:
    """The body as a request FastChat's wire can carry.

    Raises:
        InvalidRequest: malformed, or with a wish that would have to be dropped silently.
    """
    for name in _UNTRANSLATABLE:
        if call.fields.get(name):
            raise InvalidRequest(field=name, reason="its worker speaks FastChat's wire, which cannot say it")
    if call.fields.get("n", 1) != 1:
        raise InvalidRequest(field="n", reason="its worker gives one choice at a time")
    try:
        return message.model_validate(call.fields)
    except ValidationError as failure:
        first = failure.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(field=field, reason=first["msg"]) from failure


def generation_parameters(
    request: SamplingRequest, prompt: str, room: int, stops: Sequence[str]
) -> dict[str, JsonValue]:
    """The body of /worker_generate_stream, with the defaults of FastChat's own OpenAI server."""
    extra = request.model_extra or {}
    return {
        "model": request.model,
        "prompt": prompt,
        "temperature": 0.7 if request.temperature is None else request.temperature,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "top_k": extra.get("top_k", -1),
        "presence_penalty": extra.get("presence_penalty", 0.0),
        "frequency_penalty": extra.get("frequency_penalty", 0.0),
        "max_new_tokens": room,
        "echo": False,
        "stop": [*dict.fromkeys([*request.stops, *stops])],
    }


async def messages(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """FastChat's NUL-terminated messages in a stream of bytes."""
    pending = b""
    async for chunk in chunks:
        *whole, pending = (pending + chunk).split(b"\0")
        for message in whole:
            if message:
                yield message


async def deltas(pieces: AsyncGenerator[Piece, None], model: str, ending: Ending) -> AsyncGenerator[str, None]:
    """What each cumulative piece adds; half a character (U+FFFD) waits for its other half. Fills `ending`.

    Raises:
        ProviderFailed, EngineFailed, InvalidRequest, WorkerBusy: a piece carries an error code.
    """
    sent = 0
    async with aclosing(pieces):
        async for piece in pieces:
            if piece.error_code:
                raise failure_of(piece, model)
            ending.usage = piece.usage or ending.usage
            ending.reason = piece.finish_reason or ending.reason
            text = piece.text.replace("\ufffd", "")
            if len(text) > sent:
                yield text[sent:]
                sent = len(text)


def failure_of(piece: Piece, model: str) -> ChatchatError:
    """The failure behind a FastChat error code."""
    reason = f"{piece.text} (FastChat code {piece.error_code})"
    if piece.error_code in _REQUEST_CODES:
        return InvalidRequest(field="body", reason=reason)
    if piece.error_code in _BUSY_CODES:
        return WorkerBusy(model=model, waiting="several")
    failed = EngineFailed if piece.error_code in _ENGINE_CODES else ProviderFailed
    return failed(model=model, reason=reason)


def _lost(error: ChatchatError, model: str) -> ChatchatError:
    """A worker that was reached before the stream began and broke off in it was lost."""
    if isinstance(error, ServiceUnreachable):
        return WorkerLost(model=model, reason="its connection broke")
    return error


def encoded(vector: list[float], encoding: str) -> list[float] | str:
    """The vector as OpenAI writes it: a list, or base64 of little-endian float32."""
    if encoding == "base64":
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return vector


class ChatShape:
    """Answers of /v1/chat/completions."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._id = new_id("chatcmpl")

    def opening(self) -> Sequence[BaseModel]:
        return [self._chunk(Delta(role="assistant", content=""), None)]

    def piece(self, text: str, finish_reason: str | None = None) -> BaseModel:
        return self._chunk(Delta(content=text) if finish_reason is None else Delta(), finish_reason)

    def last(self, usage: Usage | None) -> BaseModel:
        return ChatChunk(id=self._id, model=self._model, choices=[], usage=usage)

    def whole(self, text: str, ending: Ending) -> BaseModel:
        choice = ChatChoice(message=ChoiceMessage(content=text), finish_reason=ending.reason)
        return ChatCompletion(id=self._id, model=self._model, choices=[choice], usage=ending.usage)

    def _chunk(self, delta: Delta, finish_reason: str | None) -> ChatChunk:
        choice = ChunkChoice(delta=delta, finish_reason=finish_reason)
        return ChatChunk(id=self._id, model=self._model, choices=[choice])


class TextShape:
    """Answers of /v1/completions."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._id = new_id("cmpl")

    def opening(self) -> Sequence[BaseModel]:
        return []

    def piece(self, text: str, finish_reason: str | None = None) -> BaseModel:
        choice = TextChoice(text=text, finish_reason=finish_reason)
        return Completion(id=self._id, model=self._model, choices=[choice])

    def last(self, usage: Usage | None) -> BaseModel:
        return Completion(id=self._id, model=self._model, choices=[], usage=usage)

    def whole(self, text: str, ending: Ending) -> BaseModel:
        choice = TextChoice(text=text, finish_reason=ending.reason)
        return Completion(id=self._id, model=self._model, choices=[choice], usage=ending.usage)


def _read(message: type[_M], body: bytes, model: str) -> _M:
    try:
        return message.model_validate_json(body)
    except ValidationError as failure:
        raise ProviderFailed(model=model, reason="its worker sent something that is not FastChat's wire") from failure


def _dump(message: BaseModel) -> str:
    return message.model_dump_json(exclude_none=True)


def _json(message: BaseModel) -> JSONResponse:
    return JSONResponse(message.model_dump(exclude_none=True))
