"""Chunks as OpenAI's server-sent events. Used by the routes."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from fastapi import Request, Response
from pydantic import JsonValue

from services.foundation.errors import ChatchatError
from services.foundation.http import openai_body, request_id_of
from services.foundation.sse import event_response
from services.wire.openai import ChatChunk, Completion, SamplingRequest

Chunk = TypeVar("Chunk", ChatChunk, Completion)
_LINE_BREAKS = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}


def event_stream(request: Request, chunks: AsyncGenerator[Chunk, None], asked: SamplingRequest) -> Response:
    """Stream the chunks, then `[DONE]`. A failure becomes one last event with OpenAI's error body.

    The usage chunk is sent when it was asked for; then the others say `"usage": null`, as OpenAI's do.
    """
    with_usage = asked.stream_options is not None and asked.stream_options.include_usage

    async def events() -> AsyncGenerator[str, None]:
        async with aclosing(chunks):
            async for chunk in chunks:
                if chunk.choices or with_usage:
                    yield one_line(_fields(chunk, with_usage=with_usage))
        yield "[DONE]"

    def failure(error: ChatchatError) -> str:
        return one_line(openai_body(error, request_id_of(request)))

    return event_response(events(), failure=failure, separator="\n")


def one_line(fields: JsonValue) -> str:
    """JSON without any character that a reader of lines takes for a line break (Python's `splitlines` knows three
    that JSON leaves bare).
    """
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).translate(_LINE_BREAKS)


def _fields(chunk: ChatChunk | Completion, *, with_usage: bool) -> dict[str, JsonValue]:
    fields: dict[str, JsonValue] = chunk.model_dump(exclude_none=True)
    choices = fields["choices"]
    if isinstance(choices, list):
        for choice in choices:
            if isinstance(choice, dict):
                choice.setdefault("finish_reason", None)
    if with_usage:
        fields.setdefault("usage", None)
    return fields
