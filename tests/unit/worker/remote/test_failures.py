"""What an error status and an error body mean."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel, JsonValue, SecretStr

from services.foundation.errors import ContextTooLong, InvalidRequest, ProviderFailed, WorkerBusy
from services.worker.engines.remote.failures import AnswerReader, Fault, fault_in
from services.worker.engines.remote.wording import Excess

KEY = "sk-canary-0123456789"
READER = AnswerReader("ours", "theirs", 4096, "the environment variable X_KEY", (SecretStr(KEY), SecretStr("x")))


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"error": {"message": "m", "type": "T", "code": 4, "param": "n"}}, Fault("m", frozenset({"t", "4"}), "n")),
        ([{"error": {"message": "m", "status": "INVALID"}}], Fault("m", frozenset({"invalid"}))),
        ({"base_resp": {"status_code": 1004, "status_msg": "m"}}, Fault("m", frozenset({"base_resp:1004"}))),
        ({"code": "Throttling", "message": "m", "request_id": "r"}, Fault("m", frozenset({"throttling"}))),
        ({"error": "m", "code": 7}, Fault("m", frozenset({"7"}))),
        ({"detail": "m"}, Fault("m")),
        ({"error": {"message": ["m"]}}, Fault('["m"]')),
        ({"error": ["m"]}, Fault('["m"]')),
        ({"error": {"message": "m", "n_prompt_tokens": 9, "n_ctx": 8}}, Fault("m", excess=Excess(9, 8))),
        ({}, Fault()),
        ([], None),
        ("m", None),
        (None, None),
    ],
)  # fmt: skip
def test_bodies_of_every_shape(body: JsonValue, fault: Fault | None):
    assert fault_in(body) == fault


def refused(status: int, error: object, retry_after_seconds: float | None = None) -> Exception:
    return READER.refusal(status, json.dumps({"error": error}).encode(), retry_after_seconds)


def test_too_long_has_its_numbers_or_ours():
    for error, tokens, limit in (
        ({"message": "This model's maximum context length is 8 tokens. You requested 9 tokens"}, 9, 8),
        ({"message": "no", "code": "context_length_exceeded"}, "too many", 4096),
        ({"message": "no", "type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 8}, 9, 8),
    ):
        failed = refused(400, error)
        assert isinstance(failed, ContextTooLong)
        assert (failed.facts["tokens"], failed.facts["limit"]) == (tokens, limit)


def test_an_answer_that_may_be_shorter_is_another_matter():
    message = "max_tokens is too large: 5000. This model's maximum context length is 1024 tokens"
    failed = refused(400, {"message": message, "param": "max_tokens"})
    assert isinstance(failed, InvalidRequest)
    assert failed.facts["field"] == "max_tokens"


def test_busy_says_when_to_come_again():
    failed = refused(429, {"message": "slow down"}, 7.0)
    assert isinstance(failed, WorkerBusy)
    assert failed.facts == {"model": "ours", "waiting": "too many", "retry_after_seconds": 7.0}


def test_a_wrong_key_names_where_it_is_set():
    assert "HTTP 401: it refused the access key; check the environment variable X_KEY" in str(
        refused(401, {"message": "x"})
    )


def test_a_sentence_is_cut_and_holds_no_secret_even_where_it_is_cut():
    said = str(refused(500, {"message": "a" * 290 + KEY * 3}))
    assert "sk-c" not in said
    assert len(said) < 420
    named = refused(400, {"message": KEY, "param": KEY})
    assert isinstance(named, InvalidRequest)
    assert KEY not in str(named)
    assert KEY not in repr(named.facts)
    assert "ax" in str(refused(500, {"message": "ax"})), "a key of one letter blots out nothing"
    assert KEY not in repr(READER)


class _Shape(BaseModel):
    number: int


def test_good_answers_are_read():
    assert READER.parse('{"number": 4, "code": 0}', _Shape).number == 4
    assert READER.read('{"code": 200, "x": [1]}') == {"code": 200, "x": [1]}
    assert READER.read('{"code": "x", "choices": [1]}')["choices"] == [1]


@pytest.mark.parametrize("text", ["", "nope", "[1]", "[]", '"x"', '{"number": "x"}', '{"error": {}, "number": "x"}'])
def test_others_are_failures(text: str):
    with pytest.raises(ProviderFailed, match="its answer is not"):
        READER.parse(text, _Shape)
