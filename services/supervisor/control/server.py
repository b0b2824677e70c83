"""Listens on the control address from the first moment; web framework and server are loaded when somebody calls.

Nothing that happens here ends the supervisor.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

from pydantic import SecretStr

from services.foundation.settings.tree import Endpoint
from services.supervisor.control.switchboard import Control, Switchboard
from services.supervisor.crew import Crew

if TYPE_CHECKING:
    import uvicorn

log = logging.getLogger(__name__)
_BACKLOG = 100


class ControlServer:
    """The control wire of one supervisor, in its event loop."""

    def __init__(self, control: Control, crew: Crew) -> None:
        server = control.settings.server
        self._endpoint = server.supervisor
        self._token = server.worker_token
        self._switchboard = Switchboard(control, crew)
        self._socket: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None
        self._server: uvicorn.Server | None = None

    def open(self) -> str | None:
        """Listen; returns the address, or None when it cannot be had: then nothing is started at run time."""
        try:
            self._socket = _listen(self._endpoint)
        except OSError as failure:
            where = f"{self._endpoint.host}:{self._endpoint.port}"
            log.warning("no model can be started or stopped at run time: %s cannot be bound: %s", where, failure)
            return None
        asyncio.get_running_loop().add_reader(self._socket, self._begin)
        return self._endpoint.url

    async def close(self) -> None:
        """Give up what is under way and stop listening."""
        if self._socket is not None and self._serving is None:
            asyncio.get_running_loop().remove_reader(self._socket)
        await asyncio.gather(self._switchboard.close(), self._stop_serving())
        if self._socket is not None:
            self._socket.close()

    async def _stop_serving(self) -> None:
        if self._serving is None:
            return
        if self._server is None:
            self._serving.cancel()
        else:
            self._server.should_exit = True
        await asyncio.wait({self._serving})

    def _begin(self) -> None:
        """The first caller waits in the backlog."""
        if self._socket is None or self._serving is not None:
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        self._serving = asyncio.create_task(self._serve(self._socket))

    async def _serve(self, listening: socket.socket) -> None:
        try:
            self._server = await asyncio.to_thread(_server, self._switchboard, self._token)
            await self._server.serve(sockets=[listening])
        except (Exception, SystemExit):  # the latter is uvicorn's way to fail; the processes go on without a control
            log.exception("no model can be started or stopped at run time any more")


def _listen(endpoint: Endpoint) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
        listening.settimeout(0)
    except OSError:
        listening.close()
        raise
    return listening


def _server(switchboard: Switchboard, token: SecretStr | None) -> uvicorn.Server:
    """Loaded in a thread, so that health checks go on meanwhile."""
    from services.supervisor.control.serving import make_server

    return make_server(switchboard, token)
