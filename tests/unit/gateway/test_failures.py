"""Errors of foreign workers are retold in our shape; ours pass as they came."""

from __future__ import annotations

import json

import pytest

from services.foundation.errors import WorkerBusy
from services.foundation.http import openai_body
from services.gateway.bodies import Call
from services.gateway.failures import event_of_ours, is_foreign_event, rewritten

CALL = Call("/v1/responses", "m", b"", {}, "id-1")


def vllm(message: str, param: str | None = None, code: int = 400) -> bytes:
    return json.dumps({"error": {"message": message, "type": "X", "param": param, "code": code}}).encode()


def told(status: int, body: bytes):
    status, body = rewritten(status, body, CALL)
    error = json.loads(body)["error"]
    assert error["chatchat"]["request_id"] == "id-1"
    return status, error["code"], error


@pytest.mark.parametrize(
    ("message", "tokens", "limit"),
    [
        (
            (
                "This model's maximum context length is 1024 tokens. However, your prompt contains at least 1025 input "
                "tokens. Please reduce the length of the input prompt."
            ),
            1025,
            1024,
        ),
        (
            (
                "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the "
                "messages, 1000 in the completion)."
            ),
            5000,
            4096,
        ),
        ("The prompt exceeds the maximum context length of 8192.", "too many", 8192),
    ],
)
def test_too_long_has_its_numbers(message, tokens, limit):
    status, code, error = told(400, vllm(message, "input_tokens"))
    assert (status, code, error["param"]) == (400, "context_length_exceeded", "input_tokens")
    facts = error["chatchat"]["facts"]
    assert (facts["tokens"], facts["limit"], facts["model"]) == (tokens, limit, "m")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, vllm("temperature must be non-negative", "temperature"), (400, "request.invalid")),
        (404, vllm("The model `x` does not exist.", code=404), (404, "model_not_found")),
        (404, b'{"detail":"Not Found"}', (404, "not_found")),
        (401, b'{"error":"Unauthorized"}', (502, "provider.failed")),
        (422, b'{"detail":[{"loc":["body","n"],"msg":"too big"}]}', (400, "request.invalid")),
        (429, b"slow down", (429, "rate_limit_exceeded")),
        (500, vllm("CUDA out of memory. Tried to allocate", code=500), (503, "out_of_memory")),
        (500, b"Internal Server Error", (500, "model.engine_failed")),
        (502, b"<html>", (502, "provider.failed")),
        (503, b"", (503, "model.no_worker")),
        (400, b'{"object":"error","message":"old vLLM","param":"n","code":400}', (400, "request.invalid")),
    ],
)
def test_foreign_errors_become_ours(status, body, expected):
    assert told(status, body)[:2] == expected


def test_the_field_of_a_refusal_stays():
    assert told(400, vllm("no", "seed"))[2]["param"] == "seed"
    assert told(400, vllm("no", "body.stop"))[2]["param"] == "stop"
    assert told(422, b'{"detail":[{"loc":["body","messages",0],"msg":"bad"}]}')[2]["param"] == "messages.0"


def test_an_engines_inside_is_not_shown():
    _, _, error = told(500, vllm("<object at 0x7f2b4c> in /srv/model/x.py", code=500))
    assert "0x7f" not in json.dumps(error)
    assert "/srv" not in json.dumps(error)


def test_our_bodies_pass_as_they_came():
    body = json.dumps(openai_body(WorkerBusy(model="m", waiting=3), "other-id"), indent=2).encode()
    assert rewritten(429, body, CALL) == (429, body)


def test_an_error_within_a_stream_is_retold_and_its_neighbours_stay():
    whole = b'data: {"id": 1}\n\ndata: ' + vllm("EngineCore at 0x7f", code=500) + b"\n\ndata: [DONE]\n\n"
    assert is_foreign_event(whole)
    first, failed, done, rest = event_of_ours(whole, CALL).split(b"\n\n")
    assert (first, done, rest) == (b'data: {"id": 1}', b"data: [DONE]", b"")
    assert json.loads(failed.removeprefix(b"data: "))["error"]["code"] == "model.engine_failed"
    ours = b"data: " + json.dumps(openai_body(WorkerBusy(model="m", waiting=3), "i")).encode() + b"\n\n"
    assert not is_foreign_event(ours)
    assert not is_foreign_event(b'data: {"choices": [{"delta": {"content": "data: {\\"error\\""}}]}\n\n')
