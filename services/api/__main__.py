"""`python -m services.api [ingest | milvus]`: the Chatchat API as a process, or one of those behind it."""

from __future__ import annotations

import argparse
import gc
import os
import sys

import uvicorn
from fastapi import FastAPI

from services.foundation import logs
from services.foundation.errors import ChatchatError
from services.foundation.settings.load import load_settings
from services.foundation.settings.tree import Endpoint, Settings

_INGEST_NICENESS = 5  # questions go before files


def main() -> None:
    """Read the settings and serve."""
    parser = argparse.ArgumentParser(prog="python -m services.api", description=__doc__)
    parser.add_argument("process", nargs="?", choices=("api", "ingest", "milvus"), default="api")
    parser.add_argument("--number", type=int, default=1, help="tells processes that index files apart")
    given = parser.parse_args()
    settings = load_settings()
    logs.configure(given.process, settings.server.logging.level)
    try:
        app, endpoint = _process(settings, given.process, given.number)
    except ChatchatError as failure:
        sys.stderr.write(f"Configuration error: {failure}\n")
        raise SystemExit(2) from None
    gc.freeze()  # what is here by now stays: looking through it at each full collection stopped requests for 0.15 s
    uvicorn.run(app, host=endpoint.host, port=endpoint.port, log_config=None, timeout_graceful_shutdown=3)


def _process(settings: Settings, name: str, number: int) -> tuple[FastAPI, Endpoint]:
    """The app of a process and where it listens; what the others need is not imported."""
    server = settings.server
    match name:
        case "ingest":
            os.nice(_INGEST_NICENESS)
            from services.api.backstage import create_ingest_app

            where = server.ingest.model_copy(update={"port": server.ingest.port + number - 1})
            return create_ingest_app(settings, number=number), where
        case "milvus":
            from services.api.milvus import create_milvus_app

            return create_milvus_app(settings), server.milvus_health
        case _:
            from services.api.app import create_app
            from services.api.parts import Role

            return create_app(settings, role=Role.API), server.api


if __name__ == "__main__":
    main()
