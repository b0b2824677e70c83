"""What every client shares: no proxies, keys, and failures decoded back into their class."""

from __future__ import annotations

import json
import os
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.clients.transport import async_client, decode, decode_failure, failure_in, sync_client, unreachable
from services.foundation.errors import (
    ChatchatError,
    NoWorker,
    ProviderFailed,
    ServiceUnreachable,
    TookTooLong,
    UnknownModel,
)
from services.foundation.http import envelope_body, openai_body
from services.wire.control import ModelNames

NO_WORKER = NoWorker(model="m")


@pytest.mark.parametrize(
    "body", [openai_body(NO_WORKER, "r"), envelope_body(NO_WORKER, "r", "zh-CN"), envelope_body(NO_WORKER, "r", "en")]
)
def test_finds_the_failure_in_either_dialect(body: Any):
    found = decode_failure(json.dumps(body).encode(), 503, "gateway")
    assert type(found) is NoWorker
    assert found.facts == {"model": "m"}


@pytest.mark.parametrize(
    "parsed",
    [
        None,
        [],
        "text",
        3,
        {},
        {"error": None},
        {"error": "text"},
        {"error": []},
        {"error": {}},
        {"error": {"code": "model.no_worker"}},
        {"error": {"code": 3, "facts": {}}},
        {"error": {"code": "model.no_worker", "facts": []}},
        {"error": {"chatchat": "text"}},
        {"error": {"chatchat": {"code": "model.no_worker"}}},
        {"answer": "model.no_worker", "facts": {}},
    ],
)
def test_finds_no_failure_in_anything_else(parsed: Any):
    assert failure_in(parsed) is None


def test_keeps_only_facts_that_are_facts():
    parsed: Any = {"error": {"code": "model.unknown", "facts": {"model": "m", "known": ["a"], "self": 1, "x": None}}}
    found = failure_in(parsed)
    assert type(found) is UnknownModel
    assert found.facts == {"model": "m", "self": 1, "x": None}


def test_a_code_from_the_future_is_still_a_failure():
    assert type(failure_in({"error": {"code": "new.code", "facts": {}}})) is ChatchatError


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"error": {"message": "no credit", "code": "x"}}', "HTTP 402: no credit"),
        (b'{"message": "no credit"}', "HTTP 402: no credit"),
        (b"<html>Bad Gateway</html>", "HTTP 402: <html>Bad Gateway</html>"),
        (b"", "HTTP 402: "),
        (b"\xff\xfe", "HTTP 402: \ufffd\ufffd"),
        (b"x" * 1000, "HTTP 402: " + "x" * 200),
    ],
)
def test_a_foreign_answer_is_the_providers_failure(body: bytes, reason: str):
    found = decode_failure(body, 402, "gateway")
    assert type(found) is ProviderFailed
    assert found.facts == {"model": "gateway", "reason": reason}


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"models": 3}', b"\xff"])
def test_a_good_answer_that_is_no_answer_is_the_providers_failure(body: bytes):
    with pytest.raises(ProviderFailed, match="the answer is not a ModelNames"):
        decode(ModelNames, body, "controller")


def test_a_good_answer_is_read():
    assert decode(ModelNames, b'{"models": ["a"], "more": 1}', "controller").models == ["a"]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (httpx.ReadTimeout("x"), TookTooLong),
        (httpx.WriteTimeout("x"), TookTooLong),
        (httpx.PoolTimeout("x"), TookTooLong),
        (httpx.ConnectTimeout("x"), ServiceUnreachable),
        (httpx.ConnectError("x"), ServiceUnreachable),
        (httpx.RemoteProtocolError("x"), ServiceUnreachable),
    ],
)
def test_a_transport_error_is_named(failure: httpx.HTTPError, expected: type[ChatchatError]):
    found = unreachable("gateway", "http://g", 3.0, failure)
    assert type(found) is expected
    assert found.facts["service"] == "gateway"


@pytest.mark.parametrize("make", [async_client, sync_client])
def test_no_proxy_variable_is_read(make: Any, monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert os.environ["ALL_PROXY"]  # noqa: TID251 - it is set, and must be ignored
    client = make("http://x", timeout_seconds=3.0)
    assert client.trust_env is False
    assert client._mounts == {}


@pytest.mark.parametrize("make", [async_client, sync_client])
def test_the_key_goes_along_and_connects_fail_fast(make: Any):
    client = make("http://x", timeout_seconds=300.0, key=SecretStr("hush"))
    assert client.headers["x-api-key"] == "hush"
    assert (client.timeout.read, client.timeout.connect) == (300.0, 5.0)
    assert "x-api-key" not in make("http://x", timeout_seconds=1.0).headers
