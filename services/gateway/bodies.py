"""From a raw request body to the little the gateway must know of it. The bytes themselves go on unchanged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from pydantic import JsonValue
from starlette.types import Receive

from services.foundation.errors import InvalidRequest

_LONGEST_MODEL_NAME = 200
_MOST_FIELDS = 50_000
"""Of objects at any depth: a body of a million takes a good part of a second to parse, here and again in the worker."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way to a worker.

    Attributes:
        path: the worker's path, aliases resolved.
        model: the model asked for.
        body: the bytes as they came.
        fields: the body, parsed.
        request_id: goes on to the worker.
    """

    path: str
    model: str
    body: bytes
    fields: Mapping[str, JsonValue]
    request_id: str


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request.

    Raises:
        InvalidRequest: the client left while sending it.
        HTTPException: it is larger than allowed (413).
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        whole: bytes = message.get("body", b"")
        return whole
    pieces: list[bytes] = []
    while message["type"] == "http.request":
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)
        message = await receive()
    raise InvalidRequest(field="body", reason="the client left while sending it")


def as_call(body: bytes, path: str, request_id: str, model: str | None = None) -> Call:
    """The call a body asks for.

    Args:
        body: as it came.
        path: the worker's path of the call.
        request_id: of the request.
        model: the model named by the URL, used when the body names none.

    Raises:
        InvalidRequest: the body is not a JSON object, or names no model.
    """
    fields = parse(body)
    if model is not None and "model" not in fields:
        fields = {**fields, "model": model}
        body = json.dumps(fields, ensure_ascii=False).encode()
    return Call(path, model_in(fields), body, fields, request_id)


def parse(body: bytes) -> Mapping[str, JsonValue]:
    """The body as a JSON object. NaN, numbers beyond a double, lone surrogates and deep nests are no JSON here.

    Raises:
        InvalidRequest: it is none, or has too many fields.
    """
    if body.count(b'":') - body.count(b'\\":') > _MOST_FIELDS:  # quick, and never too few where it matters
        raise InvalidRequest(field="body", reason=f"it has more than {_MOST_FIELDS} fields")
    try:
        fields: JsonValue = orjson.loads(body)
    except ValueError as failure:
        raise InvalidRequest(field="body", reason=f"it is not JSON: {failure}") from failure
    if not isinstance(fields, dict):
        raise InvalidRequest(field="body", reason="it must be a JSON object")
    return fields


def model_in(fields: Mapping[str, JsonValue]) -> str:
    """The model a parsed body names.

    Raises:
        InvalidRequest: none.
    """
    model = fields.get("model")
    if not isinstance(model, str) or not model.strip():
        raise InvalidRequest(field="model", reason="it must name a model; GET /v1/models lists them")
    if len(model) > _LONGEST_MODEL_NAME:
        raise InvalidRequest(field="model", reason=f"it is longer than {_LONGEST_MODEL_NAME} characters")
    return model
