"""What would keep the plan from running, found before anything is started: one sentence each, with its remedy."""

from __future__ import annotations

import errno
import importlib.util
import shutil
import socket
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from services.foundation.errors import UnknownModel
from services.foundation.settings.tree import Settings
from services.supervisor.flags import Flags
from services.supervisor.messages import Sentence, sentence
from services.supervisor.plan import ProcessSpec, build_plan

NEEDED_BYTES = 500_000_000
_PACKAGE = "package:"


class Machine:
    """What is asked of the machine this runs on."""

    def bind(self, host: str, port: int) -> None:
        """Bind as a server would: what lingers in TIME_WAIT does not count, what listens does.

        Raises:
            OSError: it cannot be bound.
            OverflowError: it is no port.
        """
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)

    def free_bytes(self, folder: Path) -> int:
        """Space left on the folder's disk."""
        return shutil.disk_usage(folder).free


def prepare(settings: Settings, flags: Flags) -> tuple[list[ProcessSpec], list[Sentence]]:
    """The plan, and every problem it has; with a problem nothing of the plan is to be started."""
    try:
        plan = build_plan(settings, flags)
    except UnknownModel as unknown:
        return [], [sentence("problem.unknown_model", **{name: str(fact) for name, fact in unknown.facts.items()})]
    return plan, find_problems(settings, plan, Machine())


def find_problems(settings: Settings, plan: Sequence[ProcessSpec], machine: Machine) -> list[Sentence]:
    """Every problem there is; an empty list means that the plan can be started."""
    if not plan:
        return [sentence("problem.nothing_planned")]
    return [*_shared_ports(plan), *_ports(plan, machine), *_models(settings, plan), *_folders(settings, machine)]


def _variable(setting: str) -> str:
    """How the setting is called in the environment; models' names may not be spelt there."""
    if setting.startswith("models."):
        return ""
    return f" (CHATCHAT_{setting.replace('.', '__').upper()})"


def _shared_ports(plan: Sequence[ProcessSpec]) -> Iterator[Sentence]:
    wanting: dict[int, list[ProcessSpec]] = defaultdict(list)
    for spec in plan:
        wanting[spec.port].append(spec)
    for port, specs in wanting.items():
        if len(specs) > 1:
            setting = specs[-1].port_setting
            names = ", ".join(spec.name for spec in specs)
            yield sentence("problem.port_shared", names=names, port=port, setting=setting, variable=_variable(setting))


def _ports(plan: Sequence[ProcessSpec], machine: Machine) -> Iterator[Sentence]:
    for spec in plan:
        try:
            machine.bind(spec.host, spec.port)
        except (OSError, OverflowError) as failure:
            taken = isinstance(failure, OSError) and failure.errno == errno.EADDRINUSE
            yield sentence(
                "problem.port_taken" if taken else "problem.not_bindable",
                name=spec.name,
                description=spec.description,
                host=spec.host,
                port=spec.port,
                setting=spec.port_setting,
                variable=_variable(spec.port_setting),
                failure=str(failure),
            )


def _models(settings: Settings, plan: Sequence[ProcessSpec]) -> Iterator[Sentence]:
    for spec in plan:
        for name in spec.models:
            served = settings.models.served[name]
            place = served.options.get("path")
            if served.optional or served.remote or not isinstance(place, str):
                continue
            if place.startswith(_PACKAGE):
                package = place.removeprefix(_PACKAGE)
                if not package.isidentifier() or importlib.util.find_spec(package) is None:
                    yield sentence("problem.package_missing", model=name, package=package)
                continue
            folder = settings.models.model_dir / place  # an absolute place stays what it is
            if not folder.exists():
                yield sentence("problem.model_missing", model=name, path=str(folder.resolve()))


def _folders(settings: Settings, machine: Machine) -> Iterator[Sentence]:
    for folder, setting in (
        (settings.server.logging.folder, "server.logging.folder"),
        (settings.server.data_dir, "server.data_dir"),
    ):
        facts = {"folder": str(folder.resolve()), "setting": setting, "variable": _variable(setting)}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
            free_bytes = machine.free_bytes(folder)
        except OSError as failure:
            yield sentence("problem.folder_unwritable", failure=failure.strerror or str(failure), **facts)
            continue
        if free_bytes < NEEDED_BYTES:
            free_mb, needed_mb = free_bytes // 1_000_000, NEEDED_BYTES // 1_000_000
            yield sentence("problem.disk_full", free_mb=free_mb, needed_mb=needed_mb, **facts)
