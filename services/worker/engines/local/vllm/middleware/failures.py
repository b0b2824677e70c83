"""vLLM's error bodies read: each becomes a failure of ours. Used by the middleware's answers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from pydantic import JsonValue

from services.foundation.errors import (
    ChatchatError,
    ContextTooLong,
    EngineFailed,
    InvalidRequest,
    OutOfMemory,
    UnknownModel,
)
from services.worker.engines.local.vllm.middleware.plan import MiddlewarePlan

_REASON_CHARS = 500
_LIMIT = re.compile(r"maximum context length is (\d+)")
_TOKENS = re.compile(r"(\d+) input tokens")
_CHARACTERS = re.compile(r"contains (\d+) characters \(more than (\d+) characters.*?for (\d+) input tokens")
_SUFFIX = re.compile(r"\s*\(parameter=.*\)\s*$", re.DOTALL)
_VALIDATION = re.compile(r"'msg': (['\"])(.*?)\1")
_UNNAMED = re.compile(r"(n|[a-z]+_[a-z_]+) must\b")
_ADVICE = re.compile(r"\s*To increase this limit, set the VLLM_\w+ environment variable\.")
_MEMORY = re.compile(r"out of memory|cannot allocate memory|not enough memory", re.IGNORECASE)


def failure_in(status: int, body: bytes, plan: MiddlewarePlan) -> ChatchatError:
    """The failure that an answer of vLLM with an error status means."""
    try:
        parsed: JsonValue = json.loads(body)
    except ValueError:
        parsed = None
    error = parsed.get("error") if isinstance(parsed, Mapping) else None
    if isinstance(error, Mapping):
        return failure_of(error, status, plan)
    reason = body.decode("utf-8", "replace")[:_REASON_CHARS] or f"HTTP {status}"
    if status in {404, 405}:  # the route is not there: vLLM offers only what its model can do
        return InvalidRequest(field="model", reason=f"{plan.model!r} is a model for {plan.task}, it does not do this")
    return (
        EngineFailed(model=plan.model, reason=reason) if status >= 500 else InvalidRequest(field="body", reason=reason)
    )


def failure_of(error: Mapping[str, JsonValue], status: int, plan: MiddlewarePlan) -> ChatchatError:
    """The failure that an error object of vLLM means; in a stream it says its status itself."""
    message, param = _text(error.get("message")), _text(error.get("param"))
    code = error.get("code")
    status = code if isinstance(code, int) and code >= 400 else status
    if _LIMIT.search(message):
        return _too_long(message, plan)
    if status == 404 and param in {"", "model"}:
        return UnknownModel(model=_asked_model(message), known=plan.model)
    reason = _reason(message)
    if status < 500:
        unnamed = _UNNAMED.match(message)
        field = param.removeprefix("body.") or (unnamed[1] if unnamed else "body")
        return InvalidRequest(field=field, reason=reason)
    if _MEMORY.search(message):
        return OutOfMemory(model=plan.model, reason=reason)
    return EngineFailed(model=plan.model, reason=reason)


def _too_long(message: str, plan: MiddlewarePlan) -> ContextTooLong:
    """The length, as far as it is known: vLLM counts to one token past the limit only, or characters."""
    limit = int(_LIMIT.findall(message)[0])
    by_tokens, by_characters = _TOKENS.search(message), _CHARACTERS.search(message)
    tokens = limit + 1
    if by_characters:
        characters, most, readable = (int(number) for number in by_characters.groups())
        tokens = max(tokens, math.ceil(characters * readable / most))
    elif by_tokens:
        tokens = max(tokens, int(by_tokens[1]))
    return ContextTooLong(model=plan.model, tokens=tokens, limit=limit)


def _asked_model(message: str) -> str:
    found = re.search(r"model `(.*?)` does not exist", message)
    return found[1] if found else "?"


def _reason(message: str) -> str:
    found = _VALIDATION.search(message)
    cleaned = found[2] if found else _ADVICE.sub("", _SUFFIX.sub("", message))
    return cleaned[:_REASON_CHARS].rstrip(". \n")


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""
