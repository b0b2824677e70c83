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

from services.foundation.errors import InvalidSetting, UnknownModel
from services.foundation.settings.tree import Settings
from services.supervisor.flags import Flags
from services.supervisor.messages import Sentence, sentence
from services.supervisor.plan import ProcessSpec, build_plan
from services.supervisor.sizing.demand import needs_memory
from services.supervisor.sizing.fitting import Sizing, size_models
from services.supervisor.sizing.machine.hardware import Hardware
from services.supervisor.sizing.machine.reading import MachineReader
from services.supervisor.sizing.models.places import PACKAGE, place_of

NEEDED_BYTES = 500_000_000


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

    def hardware(self, model_dir: Path) -> Hardware:
        """GPUs, memory and processors."""
        return MachineReader(model_dir).read()


def prepare(settings: Settings, flags: Flags) -> tuple[list[ProcessSpec], list[Sentence]]:
    """The plan, and every problem it has; with a problem nothing of the plan is to be started.

    Where nothing will be started, only those are problems that leave no plan.
    """
    try:
        plan = build_plan(settings, flags)
    except UnknownModel as unknown:
        return [], [sentence("problem.unknown_model", **{name: str(fact) for name, fact in unknown.facts.items()})]
    except InvalidSetting as invalid:
        return [], [sentence("problem.setting", **{name: str(fact) for name, fact in invalid.facts.items()})]
    return plan, [] if flags.plan_only else find_problems(settings, plan, Machine())


def size_plan(settings: Settings, plan: Sequence[ProcessSpec], machine: Machine) -> Sizing:
    """How the models of the plan fit on the machine."""
    names = list(dict.fromkeys(name for spec in plan for name in spec.models))
    return size_models(settings.models, names, machine.hardware(settings.models.model_dir))


def find_problems(settings: Settings, plan: Sequence[ProcessSpec], machine: Machine) -> list[Sentence]:
    """Every problem there is; an empty list means that the plan can be started."""
    if not plan:
        return [sentence("problem.nothing_planned")]
    return [
        *_shared_ports(plan),
        *_ports(plan, machine),
        *_models(settings, plan),
        *_memory(settings, plan, machine),
        *_folders(settings, machine),
    ]


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


def _required(settings: Settings, plan: Sequence[ProcessSpec]) -> list[str]:
    """The models the stack cannot do without, each once."""
    served = settings.models.served
    names = dict.fromkeys(name for spec in plan for name in spec.models)
    return [name for name in names if not (served[name].optional or served[name].remote)]


def _models(settings: Settings, plan: Sequence[ProcessSpec]) -> Iterator[Sentence]:
    for name in _required(settings, plan):
        path = settings.models.options_of(name).get("path")
        if isinstance(path, str) and path.startswith(PACKAGE):
            package = path.removeprefix(PACKAGE)
            if not package.isidentifier() or importlib.util.find_spec(package) is None:
                yield sentence("problem.package_missing", model=name, package=package)
            continue
        place = place_of(settings.models, name)
        if place is not None and place.found is None and not place.is_fetched:
            yield sentence("problem.model_missing", model=name, path=str(place.wanted.resolve()))


def _memory(settings: Settings, plan: Sequence[ProcessSpec], machine: Machine) -> Iterator[Sentence]:
    """What cannot fit beyond doubt; what only seems too large is tried, and `--plan` says so."""
    names = [name for name in _required(settings, plan) if needs_memory(settings.models.served[name])]
    if names:
        sizing = size_models(settings.models, names, machine.hardware(settings.models.model_dir))
        yield from (finding.sentence for finding in sizing.findings if finding.is_certain)


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
