"""Settings and flags → the processes to run, in the order they are spawned. Pure; called by `startup.py`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count

from services.foundation.errors import InvalidSetting, UnknownModel
from services.foundation.settings.tree import Endpoint, ServedModel, Settings
from services.supervisor.flags import Flags

LOADING_SECONDS = 1800.0
"""Longest wait for an engine that reads large weights and compiles, unless its model says otherwise."""

_STREAMLIT_OPTIONS = (
    *("--server.headless", "true"),
    *("--browser.gatherUsageStats", "false"),
    *("--server.fileWatcherType", "none"),
    *("--client.toolbarMode", "minimal"),
    *("--theme.base", "light"),
    *("--theme.primaryColor", "#165dff"),
)


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process that shall run.

    Attributes:
        name: unique on this machine; also the name of its log file.
        command: argument vector.
        host: address it binds.
        port: port it binds.
        health_url: answers 200 when the process is ready.
        required: the stack cannot do without it; else its failure leaves the stack degraded.
        description: what it is, for a person.
        port_setting: key path of the setting that chooses the port.
        models: names of the models it serves; empty for all but workers.
        environment: variables added to the inherited ones.
        start_timeout_seconds: longest wait for it to become ready; None: as for every process.
    """

    name: str
    command: tuple[str, ...]
    host: str
    port: int
    health_url: str
    required: bool
    description: str
    port_setting: str
    models: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    start_timeout_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    """Models that share one worker process, or as many as they have replicas.

    Attributes:
        names: of its processes.
        ports: of its processes.
        port_setting: chooses the first port; the others count up from `server.worker.port`.
    """

    names: tuple[str, ...]
    ports: tuple[int, ...]
    port_setting: str
    models: Mapping[str, ServedModel]


def build_plan(settings: Settings, flags: Flags) -> list[ProcessSpec]:
    """List the processes the flags ask for. The embedding worker comes first: it takes longest to load.

    Raises:
        UnknownModel: `-n` names a model that is not served; the failure lists those that are.
        InvalidSetting: models that share a worker ask for different numbers of replicas.
    """
    chosen = _chosen(settings, flags)
    groups = [group for group in _groups(settings) if chosen & group.models.keys()]
    embedding = [group for group in groups if _embeds(group, chosen)]
    others = [group for group in groups if group not in embedding]
    plan = [
        *(spec for group in embedding for spec in _workers(settings, flags, group, chosen)),
        *_servers(settings, flags),
        *(spec for group in others for spec in _workers(settings, flags, group, chosen)),
    ]
    if flags.webui:
        plan.append(_webui(settings))
    return [_as_quiet(spec, flags) for spec in plan]


def plan_model(settings: Settings, flags: Flags, model: str) -> list[ProcessSpec]:
    """List the processes of one model, whatever the flags selected: one, or as many as it has replicas.

    Raises:
        UnknownModel: it is not configured; the failure lists those that are.
        InvalidSetting: as `build_plan`.
    """
    served = settings.models.served
    if model not in served:
        raise UnknownModel(model=model, known=", ".join(sorted(served)) or "none")
    group = next(group for group in _groups(settings) if model in group.models)
    return [_as_quiet(spec, flags) for spec in _workers(settings, flags, group, {model})]


def supervised(spec: ProcessSpec, control_url: str) -> ProcessSpec:
    """A worker that tells the controller which supervisor starts and stops it; anything else as it is."""
    if not spec.models:
        return spec
    return replace(spec, command=(*spec.command, "--supervisor", control_url))


def _as_quiet(spec: ProcessSpec, flags: Flags) -> ProcessSpec:
    return replace(spec, environment={"CHATCHAT_SERVER__LOGGING__LEVEL": "ERROR"}) if flags.quiet else spec


def _chosen(settings: Settings, flags: Flags) -> set[str]:
    served = settings.models.served
    unknown = [name for name in flags.model_names if name not in served]
    if unknown:
        raise UnknownModel(model=", ".join(unknown), known=", ".join(sorted(served)) or "none")
    named = set(flags.model_names or served)
    if flags.whole_stack and settings.models.default_embedding in served:
        named.add(settings.models.default_embedding)
    return {name for name in named if (flags.remote_models if served[name].remote else flags.local_models)}


def _groups(settings: Settings) -> list[_Group]:
    """Every served model's group. Ports count over all of them, so that a model keeps its port whatever `-n` says.

    First ports are counted first, so that they do not depend on how many replicas there are.
    """
    members: dict[str, dict[str, ServedModel]] = {}
    for name, served in settings.models.served.items():
        members.setdefault(served.worker or name, {})[name] = served
    free = _free_ports(settings)
    firsts = {key: _first_port(models) or (next(free), "server.worker.port") for key, models in members.items()}
    taken = {_process_name(key) for key in members}
    groups = []
    for key, models in members.items():
        port, setting = firsts[key]
        further = range(2, _replicas(key, models) + 1)
        names = [_process_name(key)]
        for number in further:
            names.append(_unused(f"{names[0]}-{number}", taken))
        ports = (port, *(next(free) for _ in further))
        groups.append(_Group(tuple(names), ports, setting, models))
    return groups


def _first_port(models: Mapping[str, ServedModel]) -> tuple[int, str] | None:
    """The port a model of the group names, and the setting where it does."""
    own = ((served.port, f"models.served.{name}.port") for name, served in models.items() if served.port is not None)
    return next(own, None)


def _free_ports(settings: Settings) -> Iterator[int]:
    server = settings.server
    claimed = {served.port for served in settings.models.served.values()}
    claimed |= {other.port for other in (server.controller, server.gateway, server.api, server.webui)}
    claimed |= {server.supervisor.port, server.milvus.port, server.milvus_health.port}
    claimed |= {server.ingest.port + number for number in range(settings.knowledge.ingest_processes)}
    return (port for port in count(server.worker.port) if port not in claimed)


def _process_name(key: str) -> str:
    return "worker-" + re.sub(r"[^-\w.]+", "-", key)


def _unused(name: str, taken: set[str]) -> str:
    """The name, with underscores appended until no other process has it: `qwen-2` may be a model, too."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _replicas(key: str, models: Mapping[str, ServedModel]) -> int:
    wanted = {name: served.replicas for name, served in models.items()}
    (first, number), *others = wanted.items()
    for name, other in others:
        if other != number:
            reason = f"{other} is not the {number} of {first}, and both share the worker {key!r}"
            raise InvalidSetting(setting=f"models.served.{name}.replicas", reason=reason)
    return number


def _embeds(group: _Group, chosen: set[str]) -> bool:
    return any(served.task == "embedding" for name, served in group.models.items() if name in chosen)


def _workers(settings: Settings, flags: Flags, group: _Group, chosen: set[str]) -> list[ProcessSpec]:
    models = {name: served for name, served in group.models.items() if name in chosen}
    return [_worker(settings, flags, group, models, number) for number in range(1, len(group.ports) + 1)]


def _worker(
    settings: Settings, flags: Flags, group: _Group, models: Mapping[str, ServedModel], number: int
) -> ProcessSpec:
    host = settings.server.worker.host
    name, port = group.names[number - 1], group.ports[number - 1]
    replica = ("--replica", str(number)) if number > 1 else ()
    controller = ("--controller", flags.controller_url) if flags.controller_url else ()
    return ProcessSpec(
        name=name,
        command=(
            *_module("services.worker"),
            *("--name", name, "--port", str(port)),
            *replica,
            *("--models", *models),
            *controller,
        ),
        host=host,
        port=port,
        health_url=f"{_local_url(host, port)}/healthz",
        required=any(not (served.optional or served.remote) for served in models.values()),
        description=", ".join(f"{model} ({served.task})" for model, served in models.items()),
        port_setting=group.port_setting if number == 1 else "server.worker.port",
        models=tuple(models),
        start_timeout_seconds=_start_timeout_seconds(settings, models),
    )


def _start_timeout_seconds(settings: Settings, models: Mapping[str, ServedModel]) -> float | None:
    """That of the model that may take longest; None: none of them says anything."""
    own = {
        served.start_timeout_seconds or (LOADING_SECONDS if loads_long(served) else None) for served in models.values()
    }
    said = [seconds for seconds in own if seconds is not None]
    if not said:
        return None
    return max(said) if len(said) == len(own) else max(*said, settings.server.start_timeout_seconds)


def loads_long(served: ServedModel) -> bool:
    """Whether its engine reads large weights, compiles and takes most of its GPU's memory for itself."""
    return served.engine == "vllm" and not served.remote


def _servers(settings: Settings, flags: Flags) -> list[ProcessSpec]:
    server = settings.server
    wanted: list[ProcessSpec] = []
    if flags.control_plane:
        wanted.append(_service("controller", server.controller, "FastChat controller"))
        wanted.append(_service("gateway", server.gateway, "OpenAI-compatible API"))
    if flags.api and settings.embeds_milvus:
        milvus = _service("milvus", server.milvus_health, "embedded Milvus", "services.api", "milvus")
        wanted.append(replace(milvus, port_setting="server.milvus_health.port"))
    if flags.api:
        wanted += [_indexing(settings, number) for number in range(1, settings.knowledge.ingest_processes + 1)]
        wanted.append(_service("api", server.api, "Chatchat API"))
    return wanted


def _indexing(settings: Settings, number: int) -> ProcessSpec:
    first = settings.server.ingest
    where = first.model_copy(update={"port": first.port + number - 1})
    name = "ingest" if number == 1 else f"ingest-{number}"
    spec = _service(name, where, "indexing of files", "services.api", "ingest", "--number", str(number))
    return replace(spec, port_setting="server.ingest.port")


def _service(name: str, endpoint: Endpoint, description: str, *command: str) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        command=_module(*(command or (f"services.{name}",))),
        host=endpoint.host,
        port=endpoint.port,
        health_url=f"{_local_url(endpoint.host, endpoint.port)}/healthz",
        required=True,
        description=description,
        port_setting=f"server.{name}.port",
    )


def _webui(settings: Settings) -> ProcessSpec:
    endpoint = settings.server.webui
    return ProcessSpec(
        name="webui",
        command=(
            *_module("streamlit"),
            *("run", "webui/app.py", "--server.address", endpoint.host, "--server.port", str(endpoint.port)),
            *_STREAMLIT_OPTIONS,
        ),
        host=endpoint.host,
        port=endpoint.port,
        health_url=f"{_local_url(endpoint.host, endpoint.port)}/_stcore/health",
        required=True,
        description="Chatchat web UI",
        port_setting="server.webui.port",
    )


def _module(*name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *name)


def _local_url(host: str, port: int) -> str:
    """Where this machine reaches what binds `host`; a public URL may lead through a proxy that is not ours."""
    reachable = Endpoint(host=host, port=1).url.removesuffix(":1")
    if ":" in host and "[" not in reachable:
        reachable = f"http://[{host}]"
    return f"{reachable}:{port}"
