"""The web server of the control wire. Imported by `server.py` when the first caller comes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from pydantic import SecretStr

from services.supervisor.control.routes import create_app
from services.supervisor.control.switchboard import Switchboard

_GRACE_SECONDS = 1


def make_server(switchboard: Switchboard, token: SecretStr | None) -> uvicorn.Server:
    """A server that leaves the signals to the supervisor."""
    config = uvicorn.Config(
        create_app(switchboard, token),
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    config.load()
    return _Guest(config)


class _Guest(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
