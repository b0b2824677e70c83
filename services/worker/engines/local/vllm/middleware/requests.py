"""A request's body read whole, changed where our wire says more than vLLM's, and handed on. Used by the middleware."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import JsonValue
from starlette.types import Message, Receive, Scope

from services.foundation.errors import InvalidRequest, RequestAbandoned, RequestTooLarge
from services.worker.engines.local.vllm.middleware.plan import MiddlewarePlan

Fields = dict[str, JsonValue]


async def read_body(receive: Receive, limit_bytes: int) -> bytes:
    """The whole body.

    Raises:
        RequestAbandoned: the client left first.
        RequestTooLarge: there is more than the limit.
    """
    pieces, size, more = list[bytes](), 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestAbandoned
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        more = message.get("more_body", False)
        if size > limit_bytes:
            raise RequestTooLarge(limit_bytes=limit_bytes)
    return b"".join(pieces)


def replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` for the inner application: the body, then whatever comes after it."""
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def redirected(scope: Scope, path: str, body: bytes) -> Scope:
    """The scope of the same request to another path, with another body."""
    kept = [(name, value) for name, value in scope["headers"] if name not in {b"content-length", b"content-type"}]
    headers = [*kept, (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return {**scope, "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}


def fields_in(body: bytes) -> Fields:
    """A JSON object.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        parsed: JsonValue = json.loads(body or b"{}")
    except ValueError as failure:
        raise InvalidRequest(field="body", reason=f"it is not JSON: {failure}") from failure
    if not isinstance(parsed, dict):
        raise InvalidRequest(field="body", reason="it is not a JSON object")
    return parsed


def instructed(body: bytes, plan: MiddlewarePlan) -> bytes:
    """An embedding request without our extensions, each text behind the instruction its type calls for.

    Raises:
        InvalidRequest: it is no JSON object, or of an unknown type.
    """
    fields = fields_in(body)
    kind = fields.pop("input_type", None)
    instructions: Mapping[JsonValue, str] = {
        None: plan.other_instruction,
        "query": plan.query_instruction,
        "passage": plan.passage_instruction,
    }
    if isinstance(kind, dict | list) or kind not in instructions:
        raise InvalidRequest(field="input_type", reason="it is query or passage")
    fields.pop("skip_unreadable_above", None)
    texts = fields.get("input")
    if isinstance(texts, str):
        fields["input"] = instructions[kind] + texts
    elif isinstance(texts, list):
        fields["input"] = [instructions[kind] + text if isinstance(text, str) else text for text in texts]
    return json.dumps(fields, ensure_ascii=False).encode()
