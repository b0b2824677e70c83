"""Streams put together: chunks → the whole answer, for requests without `stream`. Used by the routes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from pydantic import JsonValue

from services.wire.openai import (
    ChatChoice,
    ChatChunk,
    ChatCompletion,
    ChoiceMessage,
    ChunkChoice,
    Completion,
    TextChoice,
    Usage,
)

Fields = dict[str, JsonValue]


async def whole_chat(model: str, chunks: AsyncGenerator[ChatChunk, None]) -> ChatCompletion:
    """Collect a chat stream, whatever fields its deltas carry (tool calls, reasoning, …)."""
    merged: defaultdict[int, Fields] = defaultdict(dict)
    reasons: dict[int, str | None] = {}
    usage = Usage()
    async with aclosing(chunks):
        async for chunk in chunks:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                _merge(merged[choice.index], _fields_of(choice))
                reasons[choice.index] = choice.finish_reason or reasons.get(choice.index)
    choices = [_choice(index, merged[index], reasons[index]) for index in sorted(merged)]
    return ChatCompletion(model=model, choices=choices, usage=usage)


async def whole_text(model: str, events: AsyncGenerator[Completion, None]) -> Completion:
    """Collect a text completion stream."""
    texts: defaultdict[int, list[str]] = defaultdict(list)
    reasons: dict[int, str | None] = {}
    usage = Usage()
    async with aclosing(events):
        async for event in events:
            usage = event.usage or usage
            for choice in event.choices:
                texts[choice.index].append(choice.text)
                reasons[choice.index] = choice.finish_reason or reasons.get(choice.index)
    choices = [
        TextChoice(index=index, text="".join(texts[index]), finish_reason=reasons[index]) for index in sorted(texts)
    ]
    return Completion(model=model, choices=choices, usage=usage)


def _fields_of(choice: ChunkChoice) -> Fields:
    """What one chunk adds to its choice: the delta, and beside it what else the choice carries (`logprobs`)."""
    return cast("Fields", choice.model_dump(exclude_none=True, exclude={"index", "finish_reason"}))


def _choice(index: int, fields: Fields, reason: str | None) -> ChatChoice:
    delta = fields.pop("delta", {})
    message = ChoiceMessage.model_validate(delta)
    for call in (message.model_extra or {}).get("tool_calls", []):
        call.pop("index", None)  # only streams number them
    if message.content == "" and message.model_extra:
        message.content = None
    return ChatChoice.model_validate({**fields, "index": index, "message": message, "finish_reason": reason})


def _merge(into: Fields, new: Fields) -> None:
    """Text is appended, lists of numbered parts are merged part by part, other lists grow, the rest is replaced."""
    for name, value in new.items():
        old = into.get(name)
        if isinstance(value, dict):
            inner: Fields = old if isinstance(old, dict) else {}
            _merge(inner, value)
            into[name] = inner
        elif isinstance(value, list):
            into[name] = _grown(old if isinstance(old, list) else [], value)
        elif isinstance(value, str) and isinstance(old, str) and name not in _WHOLE:
            into[name] = old + value
        else:
            into[name] = value


_WHOLE = frozenset({"role", "id", "type"})


def _grown(old: list[JsonValue], new: list[JsonValue]) -> list[JsonValue]:
    grown = list(old)
    for part in new:
        place = part.get("index") if isinstance(part, dict) else None
        known = next((p for p in grown if place is not None and isinstance(p, dict) and p.get("index") == place), None)
        if isinstance(known, dict) and isinstance(part, dict):
            _merge(known, part)
        elif isinstance(part, dict):
            fresh: Fields = {}
            _merge(fresh, part)
            grown.append(fresh)
        else:
            grown.append(part)
    return grown
