"""create_service_app: dialects, request id, health, access, body limit, and what never leaks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, SecretStr

from services.clients.transport import failure_in
from services.foundation.access import AccessCheck
from services.foundation.errors import ChatchatError, Kind, NoWorker, RequestTooLarge, Unauthenticated, WorkerBusy
from services.foundation.http import (
    STATUS,
    Health,
    ServiceOptions,
    create_service_app,
    envelope_body,
    language_of,
    openai_body,
    openai_dialect,
    render_openai,
    request_id_of,
    use_openai_errors,
)
from services.foundation.sse import event_response, read_events
from tests.unit.foundation.samples import CLASSES, sample

Dialect = Callable[[ChatchatError, Request], JSONResponse]
each_class = pytest.mark.parametrize("error_class", CLASSES, ids=lambda found: found.__name__)


def render_envelope(error: ChatchatError, request: Request) -> JSONResponse:
    return JSONResponse(envelope_body(error, request_id_of(request), language_of(request, "zh-CN")), 200)


class Echo(BaseModel):
    text: str


def make_app(raised: Exception | None = None, dialect: Dialect = render_openai, **options: Any) -> FastAPI:
    app = create_service_app(ServiceOptions(name="trial", dialect=dialect, **options))
    use_openai_errors(app)

    @app.get("/fails")
    async def _fails() -> None:
        assert raised is not None
        raise raised

    @app.get("/v1/models")
    async def _models() -> dict[str, str]:
        return {"secret": "data"}

    @app.post("/echo")
    async def _echo(body: Echo) -> Echo:
        return body

    @app.get("/streams")
    async def _streams(request: Request):
        async def events() -> AsyncIterator[str]:
            yield json.dumps({"answer": "一"}, ensure_ascii=False)
            assert raised is not None
            raise raised

        def failure(error: ChatchatError) -> str:
            render = openai_body(error, "r") if dialect is render_openai else envelope_body(error, "r", "en")
            return json.dumps(render, ensure_ascii=False)

        return event_response(events(), failure=failure)

    return app


def caller(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://trial", headers=headers, trust_env=False)


async def get(app: FastAPI, path: str, **headers: str) -> httpx.Response:
    async with caller(app, **headers) as client:
        return await client.get(path)


async def events_in(answer: httpx.Response) -> list[Any]:
    async def lines() -> AsyncIterator[str]:
        for line in answer.text.split("\r\n"):
            yield line

    return [json.loads(text) async for text in read_events(lines())]


def test_every_kind_has_a_status():
    assert set(STATUS) == set(Kind)
    assert all(400 <= status < 600 for status in STATUS.values())


@each_class
async def test_openai_dialect_survives_the_wire(error_class: type[ChatchatError]):
    error = sample(error_class)
    answer = await get(make_app(error), "/fails")
    assert answer.status_code == STATUS[error.kind]
    body = answer.json()["error"]
    assert body["message"] == str(error)
    assert body["type"]
    assert body["code"]
    rebuilt = failure_in(answer.json())
    assert type(rebuilt) is error_class
    assert rebuilt.facts == error.facts


@each_class
async def test_envelope_dialect_survives_the_wire(error_class: type[ChatchatError]):
    error = sample(error_class)
    answer = await get(make_app(error, render_envelope), "/fails", **{"accept-language": "en-GB"})
    body = answer.json()
    assert list(body) == ["code", "msg", "data", "error"]
    assert (body["code"], body["msg"], body["data"]) == (STATUS[error.kind], str(error), None)
    rebuilt = failure_in(body)
    assert type(rebuilt) is error_class
    assert rebuilt.facts == error.facts


@each_class
@pytest.mark.parametrize("dialect", [render_openai, render_envelope])
async def test_event_dialect_survives_the_wire(error_class: type[ChatchatError], dialect: Dialect):
    error = sample(error_class)
    answer = await get(make_app(error, dialect), "/streams")
    assert answer.status_code == 200
    first, last = await events_in(answer)
    assert first == {"answer": "一"}
    rebuilt = failure_in(last)
    assert type(rebuilt) is error_class
    assert rebuilt.facts == error.facts


@pytest.mark.parametrize(
    ("accepted", "said"), [("", "目前没有"), ("zh-TW,en", "目前没有"), ("en", "No worker"), ("fr", "目前没有")]
)
async def test_envelope_speaks_the_language_asked_for(accepted: str, said: str):
    answer = await get(make_app(NoWorker(model="m"), render_envelope), "/fails", **{"accept-language": accepted})
    assert said in answer.json()["msg"]


@pytest.mark.parametrize(("kind", "header"), [(Kind.OVERLOADED, "1"), (Kind.UNAVAILABLE, "2")])
async def test_says_when_to_try_again(kind: Kind, header: str):
    error_class = next(found for found in CLASSES if found.kind is kind)
    answer = await get(make_app(sample(error_class)), "/fails")
    assert answer.headers["retry-after"] == header


@pytest.mark.parametrize("dialect", [render_openai, render_envelope])
async def test_an_unknown_exception_shows_only_its_type(dialect: Dialect):
    answer = await get(make_app(RuntimeError("password=hunter2 /etc/secret"), dialect), "/fails")
    assert "hunter2" not in answer.text
    assert "/etc" not in answer.text
    rebuilt = failure_in(answer.json())
    assert type(rebuilt) is ChatchatError
    assert rebuilt.facts == {"reason": "RuntimeError"}
    assert answer.headers["x-request-id"]


async def test_an_unknown_exception_is_a_500():
    assert (await get(make_app(RuntimeError("x")), "/fails")).status_code == 500


async def test_an_unknown_exception_mid_stream_shows_only_its_type():
    answer = await get(make_app(RuntimeError("password=hunter2")), "/streams")
    assert "hunter2" not in answer.text
    rebuilt = failure_in((await events_in(answer))[-1])
    assert type(rebuilt) is ChatchatError
    assert rebuilt.facts == {"reason": "RuntimeError"}


@pytest.mark.parametrize("path", ["/v1/models", "/fails", "/nowhere", "/healthz"])
async def test_keeps_a_good_request_id(path: str):
    answer = await get(make_app(NoWorker(model="m")), path, **{"x-request-id": "a-B_3.z"})
    assert answer.headers.get_list("x-request-id") == ["a-B_3.z"]


async def test_the_request_id_stands_in_the_failure():
    answer = await get(make_app(NoWorker(model="m")), "/fails", **{"x-request-id": "abc"})
    assert answer.json()["error"]["chatchat"]["request_id"] == "abc"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 65, "a\tb", "<script>", "a\x0bINFO", "é"])
async def test_replaces_a_bad_request_id(bad: str):
    async with caller(make_app()) as client:
        answer = await client.get("/v1/models", headers=[(b"x-request-id", bad.encode("latin-1"))])
    assert len(answer.headers["x-request-id"]) == 32
    int(answer.headers["x-request-id"], 16)


async def test_two_requests_have_two_ids():
    app = make_app()
    first, second = await get(app, "/v1/models"), await get(app, "/v1/models")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize(("status", "code"), [("ok", 200), ("degraded", 200), ("starting", 503)])
async def test_healthz(status: Any, code: int):
    answer = await get(make_app(health=lambda: Health(status, {"milvus": "opening"})), "/healthz")
    assert answer.status_code == code
    body = answer.json()
    assert (body["status"], body["service"], body["detail"]) == (status, "trial", {"milvus": "opening"})
    assert body["version"]


KEYS = (SecretStr("first-key"), SecretStr("second-key"))


def guarded() -> FastAPI:
    return make_app(access=AccessCheck(KEYS))


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer first-key"},
        {"authorization": "bearer second-key"},
        {"authorization": "Bearer   first-key "},
        {"x-api-key": "second-key"},
        {"x-api-key": "first-key", "authorization": "Bearer nonsense"},
    ],
)
async def test_lets_a_key_in(headers: dict[str, str]):
    assert (await get(guarded(), "/v1/models", **headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer first-keys"},
        {"authorization": "Basic first-key"},
        {"authorization": "first-key"},
        {"x-api-key": "FIRST-KEY"},
        {"x-api-key": ""},
        {"x-api-key": "first-key,second-key"},
        {"cookie": "x-api-key=first-key"},
    ],
)
async def test_keeps_everyone_else_out(headers: dict[str, str]):
    answer = await get(guarded(), "/v1/models", **headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-request-id"]
    assert type(failure_in(answer.json())) is Unauthenticated
    assert "secret" not in answer.text


async def test_a_key_in_the_query_is_no_key():
    assert (await get(guarded(), "/v1/models?api_key=first-key&x-api-key=first-key")).status_code == 401


async def test_healthz_needs_no_key():
    assert (await get(guarded(), "/healthz")).status_code == 200


async def test_without_configured_keys_everyone_comes_in():
    assert (await get(make_app(access=AccessCheck(())), "/v1/models")).status_code == 200


async def ask_raw(app: FastAPI, path: str, *headers: tuple[bytes, bytes], method: str = "GET") -> tuple[int, bytes]:
    """Speak ASGI by hand: the path as a server hands it over, percent signs decoded."""
    return await _spoken(app, {"path": path, "method": method, "headers": list(headers)}, [])


async def _spoken(app: FastAPI, scope: dict[str, Any], bodies: list[bytes]) -> tuple[int, bytes]:
    received = iter([*bodies, b""])
    status, pieces = 0, []

    async def receive() -> dict[str, Any]:
        body = next(received, None)
        if body is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": body != b""}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            pieces.append(message.get("body", b""))

    base = {"type": "http", "http_version": "1.1", "query_string": b"", "scheme": "http", "server": ("trial", 80)}
    path = {"raw_path": scope["path"].encode(), "root_path": "", "client": ("127.0.0.1", 1)}
    await app({**base, **path, **scope}, receive, send)
    return status, b"".join(pieces)


@pytest.mark.parametrize(
    "path",
    [
        "//v1/models",
        "/v1/../v1/models",
        "/v1/models/",
        "/healthz/../v1/models",
        "/healthz/",
        "//healthz",
        "/healthz;/v1/models",
        "/v1/models;x",
        "/v1/models\x00",
        "/healthz\x00/v1/models",
        "/HEALTHZ",
        "/healthz?",
        "healthz",
    ],
)
async def test_no_spelling_of_a_path_skips_the_key(path: str):
    status, body = await ask_raw(guarded(), path, (b"host", b"trial"))
    assert status == 401
    assert b"secret" not in body


async def test_refuses_a_declared_body_over_the_limit():
    async with caller(make_app(body_limit_bytes=100)) as client:
        answer = await client.post("/echo", json={"text": "x" * 100})
        fits = await client.post("/echo", json={"text": "x" * 80})
    assert answer.status_code == 413
    failure = failure_in(answer.json())
    assert type(failure) is RequestTooLarge
    assert failure.facts == {"limit_bytes": 100}
    assert fits.status_code == 200


async def test_refuses_an_undeclared_body_over_the_limit_before_it_is_whole():
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'{"text": "'
        for _ in range(1000):
            sent += 10
            yield b"x" * 10
        yield b'"}'

    async with caller(make_app(body_limit_bytes=100)) as client:
        answer = await client.post("/echo", content=endless(), headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert sent < 200


@pytest.mark.parametrize("length", [b"x", b"-1", b"\xb2", b"9" * 5000])
async def test_a_senseless_length_breaks_nothing(length: bytes):
    headers = [(b"host", b"trial"), (b"content-length", length), (b"content-type", b"application/json")]
    scope = {"path": "/echo", "method": "POST", "headers": headers}
    status, _ = await _spoken(make_app(body_limit_bytes=100), scope, [b'{"text": "x"}'])
    assert status in {200, 400, 413}


async def test_a_malformed_body_is_named_in_openai_shape():
    async with caller(make_app()) as client:
        answer = await client.post("/echo", json={"text": 3})
        broken = await client.post("/echo", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == broken.status_code == 400
    assert answer.json()["error"]["param"] == "text"
    assert broken.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(("method", "status", "code"), [("GET", 404, "not_found"), ("PUT", 405, "request.invalid")])
async def test_an_unknown_route_is_named_in_openai_shape(method: str, status: int, code: str):
    path = "/nowhere" if status == 404 else "/echo"
    async with caller(make_app()) as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert path in answer.json()["error"]["message"]


def test_a_provider_that_said_when_to_come_back_is_quoted():
    busy = WorkerBusy(model="m", waiting="too many", retry_after_seconds=2.4)

    assert openai_dialect(busy, "r").headers["retry-after"] == "3"
    assert openai_dialect(WorkerBusy(model="m", waiting=3), "r").headers["retry-after"] == "1"
