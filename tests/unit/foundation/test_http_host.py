"""What is refused before a route is chosen: strange Hosts, headers given twice, WebSockets; no redirect from Host."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from services.foundation.access import AccessCheck
from tests.unit.foundation.test_http import KEYS, ask_raw, get, guarded, make_app, render_envelope

SERVICES = Path(__file__).resolve().parents[3] / "services"
HOST = (b"host", b"trial")
KEY = (b"x-api-key", b"first-key")
GOOD = ["trial", "trial:1", "kb.example", "kb.example.", "api_1:7861", "127.0.0.1:20000", "[::1]", "[fd00::2]:80"]
BAD = [
    "",
    " ",
    "x/healthz?",
    "a?b",
    "a/../healthz",
    "/healthz",
    "trial/healthz#",
    "\\healthz",
    "trial healthz",
    "trial,evil",
    "trial\thealthz",
    "user@trial",
    "trial:",
    "trial:80:80",
    "trial:999999",
    "trial:8x",
    ":80",
    "..",
    "a..b",
    ".trial",
    "trial%2fhealthz",
    "[::1",
    "::1",
    "[]",
    "[trial]",
    "trial\x00",
    "é",
    "a" * 263,
    "a." * 5000,
]


@pytest.mark.parametrize("host", GOOD)
async def test_a_plain_host_passes(host: str):
    assert await ask_raw(guarded(), "/v1/models", (b"host", host.encode()), KEY) == (200, b'{"secret":"data"}')


@pytest.mark.parametrize("path", ["/v1/models", "/healthz", "/nowhere"])
@pytest.mark.parametrize("host", BAD, ids=range(len(BAD)))
async def test_a_strange_host_is_refused_with_and_without_a_key(host: str, path: str):
    for more in ((), (KEY,)):
        status, body = await ask_raw(guarded(), path, (b"host", host.encode("latin-1")), *more)
        assert status == 400
        assert b'"param":"host"' in body
        assert b"secret" not in body


async def test_a_request_without_a_host_is_refused():
    assert (await ask_raw(guarded(), "/v1/models", KEY))[0] == 400


@pytest.mark.parametrize(
    "twice",
    [
        [HOST, HOST, KEY],
        [HOST, (b"host", b"x/healthz?"), KEY],
        [HOST, KEY, KEY],
        [HOST, (b"x-api-key", b"wrong"), KEY],
        [HOST, (b"authorization", b"Bearer first-key"), (b"authorization", b"Bearer second-key")],
        [HOST, KEY, (b"content-length", b"0"), (b"content-length", b"0")],
    ],
)
async def test_a_header_that_decides_may_be_given_once(twice: list[tuple[bytes, bytes]]):
    status, body = await ask_raw(guarded(), "/v1/models", *twice)
    assert status == 400
    assert b"given more than once" in body


async def test_other_headers_may_be_given_twice():
    assert (await ask_raw(guarded(), "/v1/models", HOST, KEY, (b"accept", b"a/b"), (b"accept", b"c/d")))[0] == 200


async def test_the_refusal_is_a_true_400_also_where_failures_are_200():
    app = make_app(dialect=render_envelope)
    answer = await get(app, "/v1/models", host="x/healthz?")
    assert (answer.status_code, answer.json()["code"], answer.json()["error"]["code"]) == (400, 400, "request.invalid")
    assert answer.headers["x-request-id"]


async def test_a_refused_caller_learns_which_key_is_wanted_in_every_dialect():
    answer = await get(make_app(dialect=render_envelope, access=AccessCheck(KEYS)), "/v1/models")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("path", ["/v1/models/", "/echo/", "//evil.example/", "/healthz/"])
async def test_no_redirect_is_made_from_the_host(path: str):
    app = make_app(access=AccessCheck(KEYS))
    answer = await get(app, path, host="evil.example", **{"x-api-key": "first-key"})
    assert answer.status_code == 404
    assert "location" not in answer.headers


async def test_a_websocket_is_closed_whether_a_route_exists_or_not():
    app = make_app()

    @app.websocket("/talk")
    async def _talk(_: Any) -> None:
        raise AssertionError("reached")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/talk", "headers": [HOST, KEY], "query_string": b"", "subprotocols": []}
    await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_no_service_reads_a_path_that_a_host_can_poison():
    """`request.url` is joined from Host and path; what decides reads `scope["path"]`. (T10's static part.)"""
    found = [
        f"{path.relative_to(SERVICES)}:{node.lineno}"
        for path in sorted(SERVICES.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "url"
        and node.attr in {"path", "query", "netloc", "hostname"}
    ]
    assert found == []
    middleware = [path for path in SERVICES.rglob("*.py") if "BaseHTTPMiddleware(" in path.read_text(encoding="utf-8")]
    assert middleware == []
