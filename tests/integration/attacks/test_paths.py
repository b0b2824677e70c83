"""T11: no spelling of a path skips the key, and none makes a service stumble."""

from __future__ import annotations

from tests.integration.attacks.stage import SECRET, Service
from tests.integration.attacks.wire import get, send


def spellings(path: str) -> list[str]:
    """Other ways to write `path`, and ways to begin it with the open one."""
    first, rest = path[1], path[2:]
    return [
        f"/{path}",
        f"//{path}",
        f"/.{path}",
        f"/x/..{path}",
        f"{path}/../..{path}",
        f"/%{ord(first):x}{rest}",
        f"/%25{ord(first):x}{rest}",
        f"/%u00{ord(first):x}{rest}",
        f"{path}/",
        f"{path}//",
        f"{path}/.",
        f"{path}%2f",
        f"{path};",
        f"{path};x=y",
        f"{path}%00",
        f"{path}%0a",
        f"{path}%20",
        f"{path}?",
        f"{path}?/healthz",
        f"{path}%3f/healthz",
        f"{path}%23/healthz",
        f"{path}.json",
        path.upper(),
        f"/healthz/..{path}",
        f"/healthz/..%2f{path[1:]}",
        f"/healthz/%2e%2e{path}",
        f"/healthz/%252e%252e{path}",
        f"/healthz;{path}",
        f"/healthz%00{path}",
        f"/healthz%2f..{path}",
        f"/healthz/../{path}",
        f"/healthz\\..{path}",
        f"/healthz?{path}",
        f"/./healthz/..{path}",
        f"http://service.example{path}",
        f"http://service.example/healthz/..{path}",
        f"http://x/healthz?@service.example{path}",
        "*",
        "healthz",
        path[1:],
        "/%c0%ae%c0%ae/healthz",
        "/%ff%fe",
        "/" + "a" * 60_000,
        "/" + "../" * 5000,
    ]


async def test_without_a_key_no_spelling_shows_anything(services: dict[str, Service]):
    for service in services.values():
        if service.key is None:
            continue
        for path in [service.path, *spellings(service.path), "/docs", "/openapi.json", "/redoc", "/metrics"]:
            reply = await send(service.url, get(path))
            if reply.statuses == (200,):
                assert path.startswith(("/healthz?", "http://x/healthz?")), (service.name, path)
                assert b'"status":"ok","service"' in reply.raw, (service.name, path, reply.raw)
                continue
            assert reply.status in {400, 401, 404, 414, 431}, (service.name, path, reply.raw)
            assert SECRET.encode() not in reply.raw, (service.name, path)


async def test_with_the_key_no_spelling_makes_a_service_stumble(services: dict[str, Service]):
    for service in services.values():
        for path in spellings(service.path):
            reply = await send(service.url, get(path, *service.shown_key))
            assert reply.status < 500, (service.name, path, reply.raw)
            assert b"Traceback" not in reply.raw


async def test_no_method_skips_the_key(services: dict[str, Service]):
    for service in services.values():
        if service.key is None:
            continue
        for method in (b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"PROPFIND", b"FOO"):
            reply = await send(service.url, method + get(service.path).removeprefix(b"GET"))
            assert reply.status in {400, 401}, (service.name, method, reply.raw)
        overridden = get(service.path, "X-HTTP-Method-Override: GET", "X-Method-Override: GET")
        assert (await send(service.url, overridden)).status == 401
