"""Settings and model names → the models to host and the address to register. Called by `__main__`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.foundation.errors import InvalidSetting, UnknownModel
from services.foundation.settings.tree import Endpoint, ServedModel, Settings
from services.worker.engines import ENGINES
from services.worker.engines.base import EngineSpec
from services.worker.hosted import HostedModel
from services.worker.hosting import Hosting


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker stands among the others.

    Attributes:
        replica: counts from 1; the GPUs of a model are shared out among its replicas in this order.
        supervisor: control address of the supervisor that started it.
    """

    replica: int = 1
    supervisor: str | None = None


def build_hosting(settings: Settings, names: Sequence[str], place: Place) -> Hosting:
    """Construct the engines of the named models; nothing is loaded yet.

    Raises:
        UnknownModel: a name is not in `models.served`.
        UnknownVariant, MissingPackage: its engine is not on the shelf, or needs a package that is not installed.
        InvalidSetting: its options are not the engine's, the engine cannot do its task, or must be alone in its worker.
    """
    hosted = [_hosted(settings, name, place.replica) for name in dict.fromkeys(names)]
    return Hosting(hosted, supervisor=place.supervisor)


def _hosted(settings: Settings, name: str, replica: int) -> HostedModel:
    served = settings.models.served.get(name)
    if served is None:
        raise UnknownModel(model=name, known=", ".join(sorted(settings.models.served)) or "none")
    keys = settings.server.access_keys
    spec = EngineSpec(
        model=name,
        options=settings.models.options_of(name),
        context_tokens=served.context_tokens,
        model_dir=settings.models.model_dir,
        gateway_url=settings.server.gateway.url,
        gateway_key=keys[0] if keys else None,
        timeout_seconds=settings.server.request_timeout_seconds,
        task=served.task,
        host=settings.server.worker.host,
        gpus=gpus_of(name, served, replica),
        downloads=settings.models.downloads,
        provider=settings.models.providers.get(served.provider or ""),
    )
    engine = ENGINES.build(served.engine, spec)
    return HostedModel(name, served.task, engine, served.context_tokens, is_local=not served.remote)


def gpus_of(name: str, served: ServedModel, replica: int) -> tuple[str, ...]:
    """The GPUs of one replica: an even share, in order.

    Raises:
        InvalidSetting: they cannot be shared out evenly.
    """
    if served.gpus is None:
        return ()
    every = served.gpus.split(",")
    share, left = divmod(len(every), served.replicas)
    if left or not share:
        reason = f"{len(every)} GPUs cannot be shared out evenly among {served.replicas} replicas"
        raise InvalidSetting(setting=f"models.served.{name}.gpus", reason=reason)
    return tuple(every[(replica - 1) * share : replica * share])


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
