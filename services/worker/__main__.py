"""`python -m services.worker --models a b`: read the settings, build the engines, serve.

Exit codes: 2 for a wrong flag or setting, 3 when no model could be started, 4 when one is sick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import uvicorn

from services.foundation import logs
from services.foundation.errors import ChatchatError
from services.foundation.settings.load import load_settings
from services.foundation.settings.tree import Settings
from services.worker.app import WorkerPlan, create_app
from services.worker.building import Place, build_hosting, endpoint
from services.worker.care import CareRules
from services.worker.hosted import State
from services.worker.hosting import Hosting

_BAD_SETTING = 2
_NOTHING_STARTED = 3
_SICK = 4
_GRACE_SECONDS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the named models until a signal ends it."""
    flags = _parser().parse_args(arguments)
    settings = load_settings()
    try:
        hosting = build_hosting(settings, flags.models, Place(flags.replica, flags.supervisor))
    except ChatchatError as failure:
        sys.stderr.write(f"{failure}\n")
        return _BAD_SETTING
    logs.configure(flags.name, settings.server.logging.level)
    return _serve(settings, flags, hosting)


def _serve(settings: Settings, flags: argparse.Namespace, hosting: Hosting) -> int:
    where = endpoint(settings, flags.models, flags.host, flags.port)

    def give_up() -> None:
        server.should_exit = True

    plan = WorkerPlan(
        hosting=hosting,
        address=where.url,
        controller_url=flags.controller or settings.server.controller.url,
        worker_token=settings.server.worker_token,
        heartbeat_seconds=settings.server.heartbeat_seconds,
        care=CareRules(
            canary_seconds=settings.server.canary_seconds,
            canary_timeout_seconds=settings.server.canary_timeout_seconds,
            stall_seconds=settings.server.stall_seconds,
        ),
        give_up=give_up,
    )
    config = uvicorn.Config(
        create_app(plan, name=flags.name),
        host=where.host,
        port=where.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    server.run()
    return _code_of(hosting)


def _code_of(hosting: Hosting) -> int:
    if hosting.has_failed:
        return _NOTHING_STARTED
    return _SICK if any(model.state is State.UNWELL for model in hosting.models) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.worker", description="Run models.")
    parser.add_argument("--models", nargs="+", required=True, metavar="MODEL", help="names from models.yaml")
    parser.add_argument("--name", default="worker", help="name of this process in logs and /healthz")
    parser.add_argument("--host", help="address to bind (default: server.worker.host)")
    parser.add_argument("--port", type=int, help="port to bind (default: the model's, or server.worker.port)")
    parser.add_argument("--controller", metavar="URL", help="where to register (default: server.controller)")
    parser.add_argument(
        "--replica", type=int, default=1, metavar="N", help="which of its model's replicas it is, from 1"
    )
    parser.add_argument(
        "--supervisor", metavar="URL", help="control address of the supervisor that starts and stops it"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
