"""Starts the Chatchat stack, or the parts the flags name: flags → settings → plan → checks → supervisor."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from services.foundation import logs
from services.foundation.settings.load import load_settings
from services.supervisor.control.switchboard import Control
from services.supervisor.display import Display, Subject
from services.supervisor.flags import parse, parser
from services.supervisor.keeper import CannotStart, Policy
from services.supervisor.preflight import Machine, prepare, size_plan
from services.supervisor.process import open_log
from services.supervisor.sizing.report import Report
from services.supervisor.supervisor import Supervisor

ROOT = Path(__file__).resolve().parent


def main(arguments: Sequence[str]) -> int:
    """Run until stopped; the exit code: 0 stopped, 1 something required cannot start or fit, 2 misconfigured."""
    flags = parse(arguments)
    os.chdir(ROOT)  # relative folders of the settings, and the modules of the children, are found from here
    settings = load_settings()
    if not arguments:
        Display(Subject(ROOT, settings, flags), Console()).banner(with_services=False)
        parser().print_help()
        return 0
    plan, problems = prepare(settings, flags)
    subject = Subject(ROOT, settings, flags, plan)
    if problems:
        Display(subject, Console(stderr=True)).refuse(problems)
        return 2
    if flags.plan_only:
        sizing = size_plan(settings, plan, Machine())
        return Report(sizing, settings.server.language, Console()).show(settings.models.model_dir)
    _keep_own_log(subject)
    return _supervise(subject)


def _supervise(subject: Subject) -> int:
    server, display = subject.settings.server, Display(subject, Console())
    control = Control(subject.settings, subject.flags)
    supervisor = Supervisor(subject.plan, Policy.of(server), server.logging, display, control)
    display.banner(with_services=False)
    display.open()
    try:
        asyncio.run(supervisor.run())
    except CannotStart as failure:
        display.failed(failure)
        return 1
    finally:
        display.close()
    return 0


def _keep_own_log(subject: Subject) -> None:
    """The supervisor's log goes to its file, in the format of every other process; the terminal is the display's."""
    kept = subject.settings.server.logging
    logs.configure("supervisor", kept.level)
    root = logging.getLogger()
    own = open_log("supervisor", kept)
    own.setFormatter(root.handlers[0].formatter)
    root.handlers[:] = [own]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
