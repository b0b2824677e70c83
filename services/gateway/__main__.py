"""`python -m services.gateway`: read the settings, build, serve."""

from __future__ import annotations

import gc

import uvicorn

from services.foundation import logs
from services.foundation.settings.load import load_settings
from services.gateway.app import create_app


def main() -> None:
    """Serve the gateway until a signal ends it."""
    settings = load_settings()
    logs.configure("gateway", settings.server.logging.level)
    where = settings.server.gateway
    gc.set_threshold(20_000, 20, 50)  # streams make much short-lived garbage without cycles
    uvicorn.run(
        create_app(settings),
        host=where.host,
        port=where.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=max(1, int(settings.server.stop_grace_seconds) - 1),
    )


if __name__ == "__main__":
    main()
