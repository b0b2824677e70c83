"""Control: what the directory asks of the controller. Its one frequent question goes over the relay's connections."""

from __future__ import annotations

from services.clients.control import ControllerClient
from services.clients.transport import decode, decode_failure
from services.foundation.settings.tree import Server
from services.gateway.upstream import Upstream
from services.wire.control import LeaseList, WorkerAddress

LOOKUP_SECONDS = 5.0
_SERVICE = "controller"


class Control:
    """`directory.Controller`.

    The leases are asked for every second; by httpx that is some milliseconds of CPU, as much as a relayed stream.
    """

    def __init__(self, client: ControllerClient, upstream: Upstream, server: Server) -> None:
        self._client = client
        self._upstream = upstream
        self._leases_url = f"{server.controller.url.rstrip('/')}/leases"
        self._key = server.worker_token.get_secret_value() if server.worker_token else ""

    async def address(self, model: str) -> WorkerAddress:
        """As `ControllerClient.address`."""
        return await self._client.address(model)

    async def models(self) -> list[str]:
        """As `ControllerClient.models`."""
        return await self._client.models()

    async def leases(self) -> LeaseList:
        """As `ControllerClient.leases`."""
        status, body = await self._upstream.get(self._leases_url, LOOKUP_SECONDS, key=self._key, service=_SERVICE)
        if status >= 400:
            raise decode_failure(body, status, _SERVICE)
        return decode(LeaseList, body, _SERVICE)
