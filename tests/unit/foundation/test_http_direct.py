"""A path that passes FastAPI by is guarded, bounded and told of as any route is."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from services.foundation.access import AccessCheck
from services.foundation.errors import NoWorker
from services.foundation.http import Service, ServiceOptions, create_service_app, render_openai, use_openai_errors

_KEY = "one-of-the-keys"


def make_app(raised: Exception | None = None) -> Service:
    """`/direct` and `/routed` do the same: they answer with their body, or raise."""

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        if raised is not None:
            raise raised
        headers = [(b"content-length", b"%d" % len(body)), (b"x-sees-send", b"%d" % ("chatchat.send" in scope))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    access = AccessCheck([SecretStr(_KEY)])
    options = ServiceOptions(name="trial", dialect=render_openai, access=access, body_limit_bytes=1000)
    app = create_service_app(options)
    use_openai_errors(app)
    app.router.routes.append(Route("/routed", _Plain(echo), methods=["POST"]))
    app.answer_directly({"/direct": echo})
    return app


class _Plain:
    """A class, so that Starlette takes it for an ASGI application and not for a function of a request."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


async def ask(app: Service, path: str, *, method: str = "POST", **fields: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://trial") as http:
        return await http.request(method, path, **{"headers": {"x-api-key": _KEY}, **fields})


@pytest.mark.parametrize(
    ("fields", "raised", "status", "code"),
    [
        ({"headers": {}}, None, 401, "invalid_api_key"),
        ({"headers": {"x-api-key": "another"}}, None, 401, "invalid_api_key"),
        ({"headers": {"x-api-key": _KEY, "host": "a b"}}, None, 400, "request.invalid"),
        ({"content": b"x" * 1001}, None, 413, "request.too_large"),
        ({}, NoWorker(model="m"), 503, "model.no_worker"),
        ({}, RuntimeError("a secret"), 500, "internal"),
    ],
)
async def test_failures_are_those_of_a_route(fields: dict[str, Any], raised: Exception | None, status: int, code: str):
    app = make_app(raised)
    answers = [await ask(app, path, **fields) for path in ("/direct", "/routed")]
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.headers["x-request-id"]
        assert "secret" not in answer.text
    told = [dict(answer.headers, **{"x-request-id": "", "content-length": ""}) for answer in answers]
    assert told[0] == told[1]


async def test_a_body_that_declares_no_length_is_bounded_too():
    async def pieces():
        for _ in range(11):
            yield b"x" * 100

    async def whole(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass

    app = make_app()
    app.answer_directly({"/direct": whole})
    answer = await ask(app, "/direct", content=pieces())
    assert answer.status_code == 413


async def test_what_passes_is_answered_with_its_request_id():
    app = make_app()
    headers = {"x-api-key": _KEY, "x-request-id": "trace-7"}
    for path, sees_send in (("/direct", "1"), ("/routed", "0")):
        answer = await ask(app, path, content=b"hello", headers=headers)
        assert (answer.status_code, answer.content) == (200, b"hello")
        assert answer.headers.get_list("x-request-id") == ["trace-7"]
        assert answer.headers["x-sees-send"] == sees_send


@pytest.mark.parametrize("path", ["/direct/", "//direct", "/Direct", "/direct/x"])
async def test_another_spelling_is_another_path(path: str):
    assert (await ask(make_app(), path)).status_code == 404


async def test_other_methods_are_for_the_routes():
    assert (await ask(make_app(), "/direct", method="GET")).status_code == 404
