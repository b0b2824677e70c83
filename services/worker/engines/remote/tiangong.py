"""TiangongEngine: chat by Kunlun's Tiangong (SkyChat), whose wire is its own: signed requests, answers line by line.

The wire is known from public clients of it; the sentences it refuses with are passed on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

from pydantic import BaseModel, Field, JsonValue

from services.foundation.errors import InvalidRequest
from services.foundation.sse import split_lines
from services.wire.openai import ChatChunk, ChatCompletionRequest, ChatMessage
from services.worker.engines.base import EngineSpec
from services.worker.engines.options import read_options
from services.worker.engines.remote.length import checked_length
from services.worker.engines.remote.line import Line
from services.worker.engines.remote.reach import Reach, RemoteOptions, reach_of
from services.worker.engines.text import chat_chunks

_PATH = "generate"
_PASSED_ON = {"temperature": "temperature", "top_p": "top_p", "max_tokens": "generate_length"}
_DONE_HERE = {"model", "messages", "n", "stop", "stream", "stream_options", "max_completion_tokens", "user"}
"""Fields that are honoured without the provider; `user` is for abuse reports only."""


class _Reply(BaseModel):
    reply: str | None = None


class _Line(BaseModel):
    """One line of an answer; its code, where it is not 200, was taken for the failure it is by the reader."""

    content: _Reply | None = Field(default=None, alias="resp_data")


class TiangongEngine:
    """Chat. A field that Tiangong does not know is refused by its name; stop strings are applied here."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._options = read_options(spec, RemoteOptions)
        self._reach = reach_of(spec, self._options)
        self._line = Line(self._reach)

    @property
    def concurrency(self) -> int:
        return self._options.concurrency

    async def start(self) -> None:
        await self._line.open()

    async def stop(self) -> None:
        await self._line.close()

    def chat(self, request: ChatCompletionRequest) -> AsyncIterator[ChatChunk]:
        prompt_tokens = checked_length(request, self._spec.context_tokens)
        pieces = self._pieces(_payload(request, self._reach.upstream))
        return chat_chunks(request, pieces, prompt_tokens=prompt_tokens)

    async def _pieces(self, payload: Mapping[str, JsonValue]) -> AsyncGenerator[str, None]:
        reader = self._reach.reader
        async with self._line.stream(_PATH, payload, signature(self._reach)) as body:
            async for text in split_lines(body):
                if not text.strip():
                    continue
                line = reader.parse(text.removeprefix("data:"), _Line)
                if line.content is not None and line.content.reply:
                    yield line.content.reply


def signature(reach: Reach, clock: Callable[[], float] = time.time) -> dict[str, str]:
    """The headers that sign a request: the MD5 of key, secret and the time in seconds."""
    key, secret = (part.get_secret_value() if part is not None else "" for part in (reach.key, reach.secret))
    now = str(int(clock()))
    sign = hashlib.md5(f"{key}{secret}{now}".encode(), usedforsecurity=False).hexdigest()
    return {"app_key": key, "timestamp": now, "sign": sign, "stream": "true"}


def _payload(request: ChatCompletionRequest, upstream: str) -> dict[str, JsonValue]:
    fields: dict[str, JsonValue] = request.model_dump(exclude_unset=True)
    if request.token_limit is not None:
        fields["max_tokens"] = request.token_limit
    unknown = [name for name, value in fields.items() if value is not None and name not in {*_PASSED_ON, *_DONE_HERE}]
    if unknown:
        raise InvalidRequest(field=unknown[0], reason="the provider of this model does not know it")
    wanted = {theirs: fields[ours] for ours, theirs in _PASSED_ON.items() if fields.get(ours) is not None}
    messages: list[JsonValue] = [_message(message) for message in request.messages]
    return {"messages": messages, "model": upstream, **({"param": wanted} if wanted else {})}


def _message(message: ChatMessage) -> dict[str, JsonValue]:
    has_more = isinstance(message.content, list) and any(part.type != "text" for part in message.content)
    if has_more or message.role in {"tool", "developer"} or (message.model_extra or {}).get("tool_calls"):
        raise InvalidRequest(
            field="messages", reason="the provider of this model takes text of user, system, assistant"
        )
    return {"role": "bot" if message.role == "assistant" else message.role, "content": message.text}
