"""What the gateway reads of a body, and what it refuses."""

from __future__ import annotations

import json

import pytest
from fastapi import Request

from services.foundation.errors import InvalidRequest
from services.gateway.bodies import model_in, parse, read_call


def request(*pieces: bytes, **headers: str) -> Request:
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    queue = iter(messages)

    async def receive():
        return next(queue)

    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": lines, "chatchat.request_id": "id-1"}, receive)


async def test_the_bytes_stay_as_they_came():
    body = b' { "model":"m",\n "messages" : [ ] } '
    call = await read_call(request(body[:7], body[7:]), "/v1/chat/completions")
    assert (call.body, call.model, call.path, call.request_id) == (body, "m", "/v1/chat/completions", "id-1")


async def test_the_model_of_the_url_is_put_in_only_where_the_body_names_none():
    named = await read_call(request(b'{"model": "own", "input": "x"}'), "/v1/embeddings", "url")
    unnamed = await read_call(request('{"input": "中文"}'.encode()), "/v1/embeddings", "url")
    assert (named.model, named.body) == ("own", b'{"model": "own", "input": "x"}')
    assert unnamed.model == "url"
    assert json.loads(unnamed.body) == {"input": "中文", "model": "url"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"model": "m"',
        b"[]",
        b'"m"',
        b"null",
        b"\xff\xfe",
        b'{"model": "m", "x": NaN}',
        b'{"model": "m", "x": -Infinity}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_object_is_refused(body):
    with pytest.raises(InvalidRequest) as failure:
        parse(body)
    assert failure.value.facts["field"] == "body"


@pytest.mark.parametrize(
    "fields", [{}, {"model": None}, {"model": ""}, {"model": " "}, {"model": 3}, {"model": ["m"]}, {"model": "m" * 201}]
)
def test_a_body_without_a_usable_model_is_refused(fields):
    with pytest.raises(InvalidRequest) as failure:
        model_in(fields)
    assert failure.value.facts["field"] == "model"


@pytest.mark.parametrize("name", ["prompt_embeds", "chat_template", "chat_template_kwargs"])
def test_fields_that_reach_into_the_engine_are_refused(name):
    with pytest.raises(InvalidRequest, match=name):
        model_in({"model": "m", name: None})


async def test_a_client_that_leaves_while_sending_is_no_internal_error():
    async def receive():
        return {"type": "http.disconnect"}

    with pytest.raises(InvalidRequest, match="left"):
        await read_call(Request({"type": "http", "headers": []}, receive), "/v1/embeddings")
