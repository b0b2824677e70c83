"""T10 and T13: Hosts that poison the path, and redirects that lead away. Every service, over raw sockets."""

from __future__ import annotations

import pytest

from tests.integration.attacks.stage import SECRET, Service
from tests.integration.attacks.wire import get, send

HOSTS = [
    "x/healthz?",
    "a?b",
    "a/../healthz",
    "a#b",
    "a\\healthz",
    "@healthz",
    "a b",
    "a,b",
    "a:1:2",
    "a%2fhealthz",
    "[::1",
    "",
    " ",
    "a" * 5000,
    "ä",
]


async def test_a_host_that_is_none_gets_nothing_but_400(services: dict[str, Service]):
    for service in services.values():
        for host in HOSTS:
            for key in ((), service.shown_key):
                reply = await send(service.url, get(service.path, *key, host=host))
                assert reply.status == 400, (service.name, host, reply.raw)
                assert SECRET.encode() not in reply.raw


async def test_two_hosts_or_none_get_nothing_but_400(services: dict[str, Service]):
    for service in services.values():
        for request in (
            get(service.path, "Host: x/healthz?", *service.shown_key),
            get(service.path, "Host: service.example", *service.shown_key),
            get(service.path, "hOsT: service.example", *service.shown_key),
            get(service.path, *service.shown_key, host=None),
            get(service.path, *service.shown_key, host=None, version="1.0"),
        ):
            reply = await send(service.url, request)
            assert reply.status == 400, (service.name, request, reply.raw)
            assert SECRET.encode() not in reply.raw


async def test_a_plain_host_with_the_key_is_answered(services: dict[str, Service]):
    """Else the tests above would pass over services that answer nobody."""
    for service in services.values():
        for host in ("service.example", "127.0.0.1:7861", "[::1]:7861", "chatchat_api_1"):
            reply = await send(service.url, get(service.path, *service.shown_key, host=host))
            assert reply.status == 200, (service.name, reply.raw)
            assert SECRET.encode() in reply.raw


async def test_a_forwarded_host_or_prefix_changes_nothing(services: dict[str, Service]):
    """What only a proxy of ours may say is not believed from a caller; the decision reads the routed path alone."""
    forwarded = ("X-Forwarded-Host: x/healthz?", "X-Forwarded-Prefix: /healthz", "X-Original-URL: /healthz",
                 "X-Rewrite-URL: /healthz", "Forwarded: host=evil.example;path=/healthz")  # fmt: skip
    for service in services.values():
        if service.key is not None:
            reply = await send(service.url, get(service.path, *forwarded))
            assert reply.status == 401, (service.name, reply.raw)


async def test_no_websocket_is_opened(services: dict[str, Service]):
    upgrade = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    for service in services.values():
        for path in (service.path, "/ws", "/healthz"):
            request = get(path, *upgrade, *service.shown_key).replace(b"Connection: close", b"Connection: Upgrade")
            reply = await send(service.url, request)
            assert reply.status == 403, (service.name, path, reply.raw)


EVIL = "evil.example"
AWAY = [
    "/",
    "/login?next=https://evil.example",
    "/login?next=//evil.example",
    "/?next=https://evil.example&url=https://evil.example&redirect=//evil.example",
    "/?file=https://evil.example",
    "//evil.example",
    "//evil.example/",
    "//evil.example/%2f..",
    "/\\evil.example",
    "/%5cevil.example/",
    "/%09/evil.example",
    "/.evil.example",
    "/@evil.example",
    "/v1/models/",
    "/docs/",
    "/docs/oauth2-redirect?state=https://evil.example",
    "/healthz/",
    "/leases/",
    "/knowledge_base/list_knowledge_bases/",
    "/conversations/",
    "http://evil.example/",
    "http://evil.example//evil.example/",
]


@pytest.mark.parametrize("host", ["service.example", EVIL])
async def test_no_answer_sends_a_browser_away(services: dict[str, Service], host: str):
    for service in services.values():
        for path in AWAY:
            reply = await send(service.url, get(path, *service.shown_key, host=host))
            assert reply.status < 500, (service.name, path, reply.raw)
            where = reply.header("location")
            if where is not None:
                assert where.startswith("/"), (service.name, path, where)
                assert not where.startswith(("//", "/\\")), (service.name, path, where)
            assert reply.header("refresh") is None
