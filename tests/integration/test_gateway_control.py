"""The gateway's question for the leases: what it shows, what it reads, and how it names a controller that fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from services.clients.control import ControllerClient
from services.controller.app import create_app as create_controller
from services.foundation.errors import ProviderFailed, ServiceUnreachable, Unauthenticated
from services.foundation.settings.tree import Endpoint, Server
from services.gateway.control import Control
from services.gateway.upstream import Upstream
from services.wire.control import RegisterWorker, WorkerStatus
from tests.live import free_port, serve

_TOKEN = SecretStr("a-token-of-workers")


@asynccontextmanager
async def control(port: int, token: SecretStr | None = _TOKEN) -> AsyncIterator[tuple[Control, ControllerClient]]:
    server, upstream = Server(controller=Endpoint(port=port), worker_token=token), Upstream(5.0)
    await upstream.start()
    try:
        async with ControllerClient(server.controller.url, token=token) as client:
            yield Control(client, upstream, server), client
    finally:
        await upstream.close()


async def workers(asked: Control) -> Sequence[str]:
    return [lease.worker for lease in (await asked.leases()).leases]


async def test_the_leases_are_those_the_client_reads():
    port = free_port()
    worker = RegisterWorker(
        worker_name="http://127.0.0.1:9", worker_status=WorkerStatus(model_names=["m"]), check_heart_beat=False
    )
    async with serve(create_controller(Server(worker_token=_TOKEN)), port), control(port) as (asked, client):
        assert await workers(asked) == []
        await client.register(worker)
        assert await workers(asked) == ["http://127.0.0.1:9"]
        mine, theirs = (await asked.leases()).leases, (await client.leases()).leases
        assert [lease.status for lease in mine] == [lease.status for lease in theirs]
        assert await asked.models() == ["m"]
        assert (await asked.address("m")).address == "http://127.0.0.1:9"


async def test_a_wrong_token_is_named():
    port = free_port()
    async with serve(create_controller(Server(worker_token=_TOKEN)), port), control(port, None) as (asked, _):
        with pytest.raises(Unauthenticated):
            await asked.leases()


async def test_an_absent_controller_is_named_as_the_controller():
    async with control(free_port()) as (asked, _):
        with pytest.raises(ServiceUnreachable) as failure:
            await asked.leases()
    assert failure.value.facts["service"] == "controller"


@pytest.mark.parametrize("status", [200, 404])
async def test_a_server_that_is_no_controller_of_ours_is_named(status):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b"nothing"})

    port = free_port()
    async with serve(app, port), control(port) as (asked, _):
        with pytest.raises(ProviderFailed):
            await asked.leases()
