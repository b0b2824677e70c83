"""`python -m services.api`: the Chatchat API as a process."""

from __future__ import annotations

import sys

import uvicorn

from services.api.app import create_app
from services.foundation import logs
from services.foundation.errors import ChatchatError
from services.foundation.settings.load import load_settings


def main() -> None:
    """Read the settings and serve."""
    settings = load_settings()
    logs.configure("api", settings.server.logging.level)
    endpoint = settings.server.api
    try:
        app = create_app(settings)
    except ChatchatError as failure:
        sys.stderr.write(f"Configuration error: {failure}\n")
        raise SystemExit(2) from None
    uvicorn.run(app, host=endpoint.host, port=endpoint.port, log_config=None, timeout_graceful_shutdown=3)


if __name__ == "__main__":
    main()
