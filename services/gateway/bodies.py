"""From a raw request body to the little the gateway must know of it. The bytes themselves go on unchanged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from fastapi import Request
from pydantic import JsonValue
from starlette.requests import ClientDisconnect

from services.foundation.errors import InvalidRequest
from services.foundation.http import request_id_of

_LONGEST_MODEL_NAME = 200
_REFUSED = ("prompt_embeds", "chat_template", "chat_template_kwargs")  # they reach into the engine


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way to a worker.

    Attributes:
        path: OpenAI's path, aliases resolved.
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


async def read_call(request: Request, path: str, model: str | None = None) -> Call:
    """Read and check a request.

    Args:
        request: its body has not been read yet.
        path: OpenAI's path of the call.
        model: the model named by the URL, used when the body names none.

    Raises:
        InvalidRequest: the body is not a JSON object, names no model, or holds a refused field.
    """
    try:
        body = await request.body()
    except ClientDisconnect as failure:
        raise InvalidRequest(field="body", reason="the client left while sending it") from failure
    fields = parse(body)
    if model is not None and "model" not in fields:
        fields = {**fields, "model": model}
        body = json.dumps(fields, ensure_ascii=False).encode()
    return Call(path, model_in(fields), body, fields, request_id_of(request))


def parse(body: bytes) -> Mapping[str, JsonValue]:
    """The body as a JSON object.

    Raises:
        InvalidRequest: it is none, or it nests too deeply.
    """
    try:
        fields: JsonValue = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as failure:
        reason = "it nests too deeply" if isinstance(failure, RecursionError) else f"it is not JSON: {failure}"
        raise InvalidRequest(field="body", reason=reason) from failure
    if not isinstance(fields, dict):
        raise InvalidRequest(field="body", reason="it must be a JSON object")
    return fields


def model_in(fields: Mapping[str, JsonValue]) -> str:
    """The model a parsed body names.

    Raises:
        InvalidRequest: none, or a field is there that this gateway does not pass on.
    """
    for name in _REFUSED:
        if name in fields:
            raise InvalidRequest(field=name, reason="this gateway does not accept it")
    model = fields.get("model")
    if not isinstance(model, str) or not model.strip():
        raise InvalidRequest(field="model", reason="it must name a model; GET /v1/models lists them")
    if len(model) > _LONGEST_MODEL_NAME:
        raise InvalidRequest(field="model", reason=f"it is longer than {_LONGEST_MODEL_NAME} characters")
    return model


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
