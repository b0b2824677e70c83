"""Settings and model names → the models to host and the address to register. Called by `__main__`."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from services.foundation.errors import UnknownModel
from services.foundation.settings.tree import Endpoint, Settings
from services.worker.engines import ENGINES
from services.worker.engines.base import EngineSpec
from services.worker.hosting import HostedModel, Hosting


def build_hosting(settings: Settings, names: Sequence[str]) -> Hosting:
    """Construct the engines of the named models; nothing is loaded yet.

    Raises:
        UnknownModel: a name is not in `models.served`.
        UnknownVariant, MissingPackage: its engine is not on the shelf, or needs a package that is not installed.
        InvalidSetting: its options are not the engine's, or the engine cannot do its task.
    """
    return Hosting([_hosted(settings, name) for name in dict.fromkeys(names)])


def _hosted(settings: Settings, name: str) -> HostedModel:
    served = settings.models.served.get(name)
    if served is None:
        raise UnknownModel(model=name, known=", ".join(sorted(settings.models.served)) or "none")
    keys = settings.server.access_keys
    spec = EngineSpec(
        model=name,
        options=served.options,
        context_tokens=served.context_tokens,
        model_dir=settings.models.model_dir,
        gateway_url=settings.server.gateway.url,
        gateway_key=keys[0] if keys else None,
        timeout_seconds=settings.server.request_timeout_seconds,
    )
    return HostedModel(name, served.task, ENGINES.build(served.engine, spec), served.context_tokens)


def endpoint(settings: Settings, names: Sequence[str], host: str | None, port: int | None) -> Endpoint:
    """Where this worker listens, and where others reach it.

    A configured public URL is the first worker's; like the ports, those of the next ones count up from it.
    """
    first = settings.server.worker
    own = [settings.models.served[name].port for name in names]
    chosen = port or next((number for number in own if number is not None), first.port)
    return Endpoint(host=host or first.host, port=chosen, public_url=_moved(first.public_url, chosen - first.port))


def _moved(public_url: str | None, by: int) -> str | None:
    if public_url is None:
        return None
    parts = urlsplit(public_url)
    if parts.port is None or by == 0:
        return public_url
    host = parts.netloc.rpartition(":")[0]
    return parts._replace(netloc=f"{host}:{parts.port + by}").geturl()
