"""Failures of workers that are not ours (a bare vLLM, a remote server), retold in our shape. Used by the relay."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping

import orjson
from pydantic import JsonValue

from services.clients.transport import failure_in
from services.foundation.errors import (
    ChatchatError,
    ContextTooLong,
    EngineFailed,
    InvalidRequest,
    NoWorker,
    OutOfMemory,
    ProviderFailed,
    UnknownModel,
    WorkerBusy,
)
from services.foundation.http import STATUS, openai_body
from services.gateway.bodies import Call

log = logging.getLogger(__name__)
_LIMIT = re.compile(r"(?:context length|context length is only|model_len|maximum length)\D{0,40}?(\d+)", re.IGNORECASE)
_TOKENS = re.compile(
    r"(?:contains at least|contains|requested|resulted in|passed|length of)\D{0,20}?(\d+)(?: input)? ?tokens?|"
    r"prompt \(length (\d+)\)",
    re.IGNORECASE,
)
_ERROR_EVENT = b'data: {"error"'


def rewritten(status: int, body: bytes, call: Call) -> tuple[int, bytes]:
    """Status and body as this gateway shows them: a body in our shape as it came, any other one retold."""
    parsed = _parsed(body)
    if _is_ours(parsed):
        return status, body
    if status == 404 and _error_of(parsed) is None:
        return 404, _dumped(_no_such_path(call))
    failure = failure_of(status, parsed, call.model, call.request_id)
    return STATUS[failure.kind], _dumped(openai_body(failure, call.request_id))


def failure_of(status: int, parsed: JsonValue, model: str, request_id: str) -> ChatchatError:
    """The failure of ours that a worker's status and body mean.

    What an engine says of its own failures may show its inside, so that goes to the log only.
    """
    ours = failure_in(parsed)
    if ours is not None:
        return ours
    message, field = _said(parsed)
    if status in {400, 413, 422}:
        return _refused(message or f"HTTP {status}", field, model)
    log.warning("the worker of %r answered %d: %.500s [%s]", model, status, message, request_id)
    if "out of memory" in message.lower():
        return OutOfMemory(model=model, reason="its engine said so")
    return _BY_STATUS.get(status, _failed)(status, model)


def _failed(status: int, model: str) -> ChatchatError:
    return ProviderFailed(model=model, reason=f"HTTP {status}")


_BY_STATUS: Mapping[int, Callable[[int, str], ChatchatError]] = {
    404: lambda _, model: UnknownModel(model=model, known="see GET /v1/models"),
    429: lambda _, model: WorkerBusy(model=model, waiting="too many"),
    500: lambda _, model: EngineFailed(model=model, reason="HTTP 500 from its server"),
    503: lambda _, model: NoWorker(model=model),
}


def is_failure_event(piece: bytes) -> bool:
    """Whether a piece of a stream begins with an error."""
    return piece.startswith(_ERROR_EVENT)


def is_foreign_event(piece: bytes) -> bool:
    """Whether a piece of a stream holds an error that is not in our shape."""
    return _ERROR_EVENT in piece and b'"chatchat"' not in piece


def event_of_ours(piece: bytes, call: Call) -> bytes:
    """The piece with its error events retold."""
    return b"\n\n".join(_event(event, call) for event in piece.split(b"\n\n"))


def _event(event: bytes, call: Call) -> bytes:
    if not event.startswith(_ERROR_EVENT):
        return event
    parsed = _parsed(event.removeprefix(b"data: "))
    error = _error_of(parsed)
    if error is None or _is_ours(parsed):
        return event
    code = error.get("code")
    failure = failure_of(code if isinstance(code, int) else 500, parsed, call.model, call.request_id)
    return b"data: " + _dumped(openai_body(failure, call.request_id))


def _refused(message: str, field: str | None, model: str) -> ChatchatError:
    limit, tokens = _LIMIT.search(message), _TOKENS.search(message)
    if limit and "context" in message.lower():
        counted = int(next(number for number in tokens.groups() if number)) if tokens else None
        return ContextTooLong(tokens=counted or "too many", model=model, limit=int(limit[1]), field=field)
    return InvalidRequest(field=field or "body", reason=message.rstrip("."))


def _parsed(body: bytes) -> JsonValue:
    try:
        parsed: JsonValue = orjson.loads(body)
    except ValueError:
        return None
    return parsed


def _error_of(parsed: JsonValue) -> Mapping[str, JsonValue] | None:
    error = parsed.get("error") if isinstance(parsed, dict) else None
    return error if isinstance(error, dict) else None


def _is_ours(parsed: JsonValue) -> bool:
    error = _error_of(parsed)
    return error is not None and isinstance(error.get("chatchat"), dict)


def _said(parsed: JsonValue) -> tuple[str, str | None]:
    """Message and field of an error body: OpenAI's, vLLM's older flat one, or FastAPI's list of details."""
    fields = _error_of(parsed) or (parsed if isinstance(parsed, dict) else {})
    details = fields.get("detail")
    if isinstance(details, list) and details and isinstance(details[0], dict):
        place = details[0].get("loc")
        parts = [str(part) for part in place if part != "body"] if isinstance(place, list) else []
        return str(details[0].get("msg", "")), ".".join(parts) or None
    message, field = fields.get("message") or details or "", fields.get("param")
    return str(message), field.removeprefix("body.") if isinstance(field, str) else None


def _no_such_path(call: Call) -> dict[str, JsonValue]:
    """As `use_openai_errors` writes it for a path of this gateway."""
    return {
        "error": {
            "message": f"the worker of {call.model!r} does not serve {call.path}",
            "type": "invalid_request_error",
            "param": None,
            "code": "not_found",
            "chatchat": {"request_id": call.request_id},
        }
    }


def _dumped(body: JsonValue) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
