"""Settings and flags → the processes to run, in the order they are spawned. Pure; called by `startup.py`."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count

from services.foundation.errors import UnknownModel
from services.foundation.settings.tree import Endpoint, ServedModel, Settings
from services.supervisor.flags import Flags

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


@dataclass(frozen=True, slots=True)
class _Group:
    """Models that share one worker process."""

    key: str
    port: int
    port_setting: str
    models: Mapping[str, ServedModel]


def build_plan(settings: Settings, flags: Flags) -> list[ProcessSpec]:
    """List the processes the flags ask for. The embedding worker comes first: it takes longest to load.

    Raises:
        UnknownModel: `-n` names a model that is not served; the failure lists those that are.
    """
    environment = {"CHATCHAT_SERVER__LOGGING__LEVEL": "ERROR"} if flags.quiet else {}
    chosen = _chosen(settings, flags)
    groups = [group for group in _groups(settings) if chosen & group.models.keys()]
    embedding = [group for group in groups if _embeds(group, chosen)]
    others = [group for group in groups if group not in embedding]
    plan = [
        *(_worker(settings, flags, group, chosen) for group in embedding),
        *_servers(settings, flags),
        *(_worker(settings, flags, group, chosen) for group in others),
    ]
    if flags.webui:
        plan.append(_webui(settings))
    return [replace(spec, environment=environment) for spec in plan]


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
    """Every served model's group. Ports count over all of them, so that a model keeps its port whatever `-n` says."""
    members: dict[str, dict[str, ServedModel]] = {}
    for name, served in settings.models.served.items():
        members.setdefault(served.worker or name, {})[name] = served
    claimed = {served.port for served in settings.models.served.values()}
    free = (port for port in count(settings.server.worker.port) if port not in claimed)
    groups = []
    for key, models in members.items():
        own = [(name, served.port) for name, served in models.items() if served.port is not None]
        port, setting = (own[0][1], f"models.served.{own[0][0]}.port") if own else (next(free), "server.worker.port")
        groups.append(_Group(key, port, setting, models))
    return groups


def _embeds(group: _Group, chosen: set[str]) -> bool:
    return any(served.task == "embedding" for name, served in group.models.items() if name in chosen)


def _worker(settings: Settings, flags: Flags, group: _Group, chosen: set[str]) -> ProcessSpec:
    models = {name: served for name, served in group.models.items() if name in chosen}
    host = settings.server.worker.host
    name = "worker-" + re.sub(r"[^-\w.]+", "-", group.key)
    controller = ("--controller", flags.controller_url) if flags.controller_url else ()
    return ProcessSpec(
        name=name,
        command=(
            *_module("services.worker"),
            *("--name", name, "--port", str(group.port)),
            *("--models", *models),
            *controller,
        ),
        host=host,
        port=group.port,
        health_url=f"{_local_url(host, group.port)}/healthz",
        required=any(not (served.optional or served.remote) for served in models.values()),
        description=", ".join(f"{model} ({served.task})" for model, served in models.items()),
        port_setting=group.port_setting,
        models=tuple(models),
    )


def _servers(settings: Settings, flags: Flags) -> list[ProcessSpec]:
    server = settings.server
    wanted: list[ProcessSpec] = []
    if flags.control_plane:
        wanted.append(_service("controller", server.controller, "FastChat controller"))
        wanted.append(_service("gateway", server.gateway, "OpenAI-compatible API"))
    if flags.api:
        wanted.append(_service("api", server.api, "Chatchat API"))
    return wanted


def _service(name: str, endpoint: Endpoint, description: str) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        command=_module(f"services.{name}"),
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


def _module(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name)


def _local_url(host: str, port: int) -> str:
    """Where this machine reaches what binds `host`; a public URL may lead through a proxy that is not ours."""
    reachable = Endpoint(host=host, port=1).url.removesuffix(":1")
    if ":" in host and "[" not in reachable:
        reachable = f"http://[{host}]"
    return f"{reachable}:{port}"
