"""T7, T8 and T9: which channels carry a key, what outlives one, and who reaches the vector store."""

from __future__ import annotations

import asyncio
import base64
import importlib.metadata
import json
import re
import socket
import time
from pathlib import Path

import httpx
import psutil
import pytest
from pydantic import SecretStr

from services.api.knowledge.vector_stores.milvus.store import MilvusStore
from services.foundation.access import LINK_SECONDS, LinkSigner
from tests.contract.vector_store import BASE, make
from tests.integration.attacks.stage import KEY, OTHER_KEY, SECRET, Service, stage
from tests.integration.attacks.wire import get, send

ROOT = Path(__file__).resolve().parents[3]
_BASIC = base64.b64encode(f"user:{KEY}".encode()).decode()
_AUTHORIZATION, _KEY = f"Authorization: Bearer {KEY}", f"X-API-Key: {KEY}"
CHANNELS = [
    _AUTHORIZATION,
    f"authorization: Bearer {KEY}",
    f"AUTHORIZATION: bearer   {KEY}",
    _KEY,
    f"x-api-key: {KEY}",
    f"X-Api-Key:{KEY}",
]
NO_CHANNELS = [
    f"Cookie: api_key={KEY}; X-API-Key={KEY}; Authorization=Bearer {KEY}",
    f"Authorization: Basic {_BASIC}",
    f"Authorization: {KEY}",
    f"Authorization: Token {KEY}",
    f"Authorization: Bearer {KEY} {KEY}",
    f"Authorization: Bearer {KEY},{OTHER_KEY}",
    f"Proxy-Authorization: Bearer {KEY}",
    f"X-Authorization: Bearer {KEY}",
    f"Api-Key: {KEY}",
    f"X_API_KEY: {KEY}",
    f"X-API-Token: {KEY}",
    f"X-Goog-Api-Key: {KEY}",
    f"Sec-WebSocket-Protocol: {KEY}",
    f"X-API-Key: {KEY.upper()}",
    f"X-API-Key: {KEY[:-1]}",
    f"X-API-Key: {KEY}0",
    "X-API-Key: ",
    "Authorization: Bearer",
    "Authorization: Bearer ",
    "Authorization: Bearer null",
    "Authorization: Bearer none",
]


def fronts(services: dict[str, Service]) -> list[Service]:
    """The services that people's programs talk to."""
    return [services["gateway"], services["api"]]


async def decision(service: Service, *headers: str, path: str | None = None) -> int:
    reply = await send(service.url, get(path or service.path, *headers))
    assert (SECRET.encode() in reply.raw) == (reply.status == 200), reply.raw
    assert KEY.encode() not in reply.raw, "a refusal repeats the key"
    if reply.status == 401:
        assert reply.header("www-authenticate") == "Bearer"
    return reply.status


async def test_every_channel_decides_alike_and_no_other_is_one(services: dict[str, Service]):
    """T7. A key opens everything: what a *restricted* key may do is for the room of accounts."""
    for service in fronts(services):
        for channel in CHANNELS:
            assert await decision(service, channel) == 200, (service.name, channel)
            assert await decision(service, channel.replace(KEY, OTHER_KEY)) == 200, (service.name, channel)
            assert await decision(service, channel.replace(KEY, KEY[::-1])) == 401, (service.name, channel)
        for channel in NO_CHANNELS:
            assert await decision(service, channel) == 401, (service.name, channel)


async def test_a_key_in_the_address_is_no_key(services: dict[str, Service]):
    for service in fronts(services):
        for name in ("api_key", "apikey", "key", "access_token", "token", "x-api-key", "X-API-Key", "authorization"):
            for value in (KEY, f"Bearer%20{KEY}"):
                assert await decision(service, path=f"{service.path}?{name}={value}") == 401, (service.name, name)
        assert await decision(service, path=f"{service.path}#{KEY}") in {400, 401}


async def test_two_keys_decide_in_one_way(services: dict[str, Service]):
    """`X-API-Key` decides where it holds something; a channel given twice is refused, whatever it holds."""
    wrong = ("Authorization: Bearer wrong", "X-API-Key: wrong")
    for service in fronts(services):
        assert await decision(service, _AUTHORIZATION, _KEY) == 200
        assert await decision(service, wrong[0], _KEY) == 200
        assert await decision(service, _AUTHORIZATION, wrong[1]) == 401
        assert await decision(service, _AUTHORIZATION, "X-API-Key: ") == 200
        assert await decision(service, "Authorization: Bearer ", _KEY) == 200
        for pair in ((_KEY, wrong[1]), (wrong[1], _KEY), (_KEY, _KEY), (_AUTHORIZATION, wrong[0])):
            assert await decision(service, *pair) == 400, (service.name, pair)
            assert await decision(service, *reversed(pair)) == 400, (service.name, pair)


async def test_the_token_of_the_workers_is_no_access_key_and_no_key_is_the_token(services: dict[str, Service]):
    controller = services["controller"]
    for service in fronts(services):
        assert await decision(service, f"X-API-Key: {controller.key}") == 401
    assert await decision(controller, _KEY) == 401
    assert await decision(controller, f"X-API-Key: {controller.key}") == 200


async def test_a_signed_link_expires_and_opens_nothing_else(services: dict[str, Service]):
    """T8, as far as links go."""
    api = services["api"]

    def link(seconds_ago: float, key: str = KEY, path: str = api.path) -> str:
        return LinkSigner(SecretStr(key), lambda: time.time() - seconds_ago).sign(path)

    assert await decision(api, path=link(0)) == 200
    assert await decision(api, path=link(LINK_SECONDS - 60)) == 200
    assert await decision(api, path=link(LINK_SECONDS + 1)) == 401
    assert await decision(api, path=link(0, key="a-key-nobody-ever-configured")) == 401
    assert await decision(api, path=link(0, path="/docs").replace("/docs", api.path)) == 401
    posted = b"POST" + get(link(0)).removeprefix(b"GET")
    assert (await send(api.url, posted)).status == 401


async def test_a_key_taken_out_of_the_settings_opens_nothing_after_the_restart(tmp_path: Path):
    """T8 with what there is today: keys and links. The room of accounts must add: a disabled user's session cookie,
    API keys, open WebSocket, running stream and share links, each closed within 60 s and without a restart."""
    signed = LinkSigner(SecretStr(KEY)).sign("/knowledge_base/list_knowledge_bases")
    async with stage(tmp_path / "before", keys=(KEY, OTHER_KEY)) as services:
        assert [await decision(service, _KEY) for service in fronts(services)] == [200, 200]
        assert await decision(services["api"], path=signed) == 200
    async with stage(tmp_path / "after", keys=(OTHER_KEY,)) as services:
        assert [await decision(service, _KEY) for service in fronts(services)] == [401, 401]
        assert await decision(services["api"], path=signed) == 401
        assert [await decision(service, f"X-API-Key: {OTHER_KEY}") for service in fronts(services)] == [200, 200]


async def test_a_running_stream_ends_with_the_process_that_knew_the_key(tmp_path: Path):
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        began, lines = asyncio.Event(), []

        async def listen(url: str) -> None:
            body = {"model": SECRET, "messages": [{"role": "user", "content": "word " * 190}], "stream": True}
            async with http.stream("POST", url, json=body, headers={"x-api-key": KEY}) as answer:
                async for line in answer.aiter_lines():
                    lines.append(line)
                    began.set()

        async with stage(tmp_path) as services:
            stream = asyncio.create_task(listen(f"{services['gateway'].url}/v1/chat/completions"))
            await asyncio.wait_for(began.wait(), 10)
        async with asyncio.timeout(5):
            await asyncio.gather(stream, return_exceptions=True)
    assert "data: [DONE]" not in lines, "it was not cut off: the test shows nothing"


def listening() -> set[tuple[str, int]]:
    """Where this process listens."""
    found = psutil.Process().net_connections(kind="tcp")
    return {(socket_.laddr.ip, socket_.laddr.port) for socket_ in found if socket_.status == psutil.CONN_LISTEN}


def outer_addresses() -> list[str]:
    """This machine's addresses that others can reach."""
    return [
        address.address.partition("%")[0]
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in {socket.AF_INET, socket.AF_INET6}
        and not address.address.startswith(("127.", "::1", "fe80"))
    ]


async def test_the_embedded_milvus_is_reached_from_this_machine_only(tmp_path: Path):
    """T9. Lite knows no credentials: loopback is its protection. A Milvus server asks for the token it is given."""
    before = listening()
    store = MilvusStore(tmp_path / "vectors", {})
    await store.start()
    try:
        await store.upsert(BASE, make(range(1)))
        opened = listening() - before
        assert opened, "Lite listens nowhere: this test must look elsewhere"
        assert {ip for ip, _ in opened} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
        addresses = outer_addresses()
        if not addresses:
            pytest.skip("this machine has no address but loopback; the bound address was checked")
        for address in addresses:
            for _, port in opened:
                with pytest.raises(OSError, match=r"refused|unreachable|Connect call failed"):
                    await asyncio.open_connection(address, port)
    finally:
        await store.stop()
    assert listening() == before, "the port outlives the store"


def test_milvus_is_not_older_than_the_versions_that_were_looked_at():
    floors = {"pymilvus": (3, 0, 2), "milvus-lite": (3, 2, 2)}
    locked = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    for package, floor in floors.items():
        pinned = re.search(rf"(?m)^{package}==([0-9.]+)$", locked)
        assert pinned is not None, package
        for version in (pinned.group(1), importlib.metadata.version(package)):
            assert tuple(map(int, version.split("."))) >= floor, (package, version)


async def test_no_refusal_tells_a_wrong_key_from_none(services: dict[str, Service]):
    for service in fronts(services):
        bodies = set()
        for headers in ((), ("X-API-Key: wrong",), (f"X-API-Key: {KEY[:-1]}",), ("Authorization: Bearer x",)):
            raw = (await send(service.url, get(service.path, *headers, "X-Request-Id: same"))).raw
            bodies.add(json.dumps(json.loads(raw.partition(b"\r\n\r\n")[2]), sort_keys=True))
        assert len(bodies) == 1, (service.name, bodies)
