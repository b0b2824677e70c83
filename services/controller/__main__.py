"""`python -m services.controller`: read the settings, build, serve."""

from __future__ import annotations

import uvicorn

from services.controller.app import create_app
from services.foundation import logs
from services.foundation.settings.load import load_settings


def main() -> None:
    """Serve the controller until a signal ends it."""
    settings = load_settings()
    logs.configure("controller", settings.server.logging.level)
    where = settings.server.controller
    uvicorn.run(
        create_app(settings.server),
        host=where.host,
        port=where.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=max(1, int(settings.server.stop_grace_seconds) - 1),
    )


if __name__ == "__main__":
    main()
