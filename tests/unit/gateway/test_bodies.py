"""What the gateway reads of a body, and what is no body."""

from __future__ import annotations

import json
import time

import pytest

from services.foundation.errors import InvalidRequest
from services.gateway.bodies import as_call, model_in, parse, read_body


def receiving(*pieces: bytes):
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces[:-1]]
    messages.append({"type": "http.request", "body": pieces[-1], "more_body": False})
    queue = iter(messages)

    async def receive():
        return next(queue)

    return receive


async def test_a_body_comes_in_one_piece_or_in_several():
    assert await read_body(receiving(b"whole")) == b"whole"
    assert await read_body(receiving(b"in ", b"", b"pieces", b"")) == b"in pieces"


async def test_a_client_that_leaves_while_sending_is_no_internal_error():
    messages = iter([{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}])

    async def receive():
        return next(messages)

    with pytest.raises(InvalidRequest, match="left"):
        await read_body(receive)


def test_the_bytes_stay_as_they_came():
    body = b' { "model":"m",\n "messages" : [ ] } '
    call = as_call(body, "/v1/chat/completions", "id-1")
    assert (call.body, call.model, call.path, call.request_id) == (body, "m", "/v1/chat/completions", "id-1")


def test_the_model_of_the_url_is_put_in_only_where_the_body_names_none():
    named = as_call(b'{"model": "own", "input": "x"}', "/v1/embeddings", "i", "url")
    unnamed = as_call('{"input": "中文"}'.encode(), "/v1/embeddings", "i", "url")
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
        b'{"model": "m", "x": 1e999}',
        b'{"model": "m", "x": "\\ud800"}',
        b'{"model": "m", "x": 1' + b"0" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
    ],
    ids=lambda body: body[:24],
)
def test_what_is_no_object_is_refused(body):
    with pytest.raises(InvalidRequest) as failure:
        parse(body)
    assert failure.value.facts["field"] == "body"


def test_a_million_keys_are_refused_before_they_are_parsed():
    body = b'{"model":"m"' + b',"k":1' * 1_000_000 + b"}"
    began = time.process_time()
    with pytest.raises(InvalidRequest, match="fields"):
        parse(body)
    assert time.process_time() - began < 0.1


def test_text_that_looks_like_many_fields_is_only_text():
    pasted = json.dumps({f"k{number}": number for number in range(60_000)})
    assert parse(json.dumps({"model": "m", "prompt": pasted}).encode())["prompt"] == pasted


@pytest.mark.parametrize(
    "fields", [{}, {"model": None}, {"model": ""}, {"model": " "}, {"model": 3}, {"model": ["m"]}, {"model": "m" * 201}]
)
def test_a_body_without_a_usable_model_is_refused(fields):
    with pytest.raises(InvalidRequest) as failure:
        model_in(fields)
    assert failure.value.facts["field"] == "model"
