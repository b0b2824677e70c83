"""The services of the stack on real uvicorns with keys set and something in each that nobody may see without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from pydantic import SecretStr

from services.api.app import create_app as create_api
from services.api.bootstrap import Replacements
from services.controller.app import create_app as create_controller
from services.foundation.settings.tree import Endpoint, Models, ServedModel, Server, Settings
from services.gateway.app import create_app as create_gateway
from services.supervisor.control.routes import create_app as create_supervisor
from services.supervisor.control.switchboard import Switchboard
from services.wire.control import ProcessList, ProcessReport
from services.worker.app import WorkerPlan
from services.worker.app import create_app as create_worker
from services.worker.engines.echo import EchoEngine
from services.worker.hosted import HostedModel
from services.worker.hosting import Hosting
from tests.contract.engine import spec
from tests.fakes.embedder import FakeEmbedder
from tests.fakes.storage import MemoryStorage
from tests.fakes.text_index import MemoryTextIndex
from tests.fakes.vector_store import MemoryStore
from tests.integration.api_bench import TalkingModel
from tests.live import free_port, serve

KEY = "the-key-of-the-stage-0123456789"
OTHER_KEY = "another-key-of-the-stage-987654"
TOKEN = "the-token-between-the-services-1"
SECRET = "top-secret-thing"


@dataclass(frozen=True)
class Service:
    """One service on the stage.

    Attributes:
        path: a GET that shows `SECRET` to whoever may see it.
        key: what opens it; None: it stands on loopback and asks nobody.
    """

    name: str
    url: str
    path: str
    key: str | None

    @property
    def shown_key(self) -> tuple[str, ...]:
        return () if self.key is None else (f"X-API-Key: {self.key}",)


@asynccontextmanager
async def stage(folder: Path, keys: tuple[str, ...] = (KEY, OTHER_KEY)) -> AsyncIterator[dict[str, Service]]:
    """Controller, worker, gateway, api and the supervisor's control wire while the block runs."""
    names = ("controller", "worker", "gateway", "api", "supervisor")
    ports = {name: Endpoint(port=free_port()) for name in names}
    secrets = tuple(SecretStr(key) for key in keys)
    server = Server(access_keys=secrets, worker_token=SecretStr(TOKEN), data_dir=folder / "data", **ports)
    settings = Settings(server=server, models=models())
    async with AsyncExitStack() as opened:
        urls = {
            name: await opened.enter_async_context(serve(app, ports[name].port))
            for name, app in (
                ("controller", create_controller(server)),
                ("worker", create_worker(_plan(server))),
                ("gateway", create_gateway(settings)),
                ("api", create_api(settings, fakes())),
                ("supervisor", create_supervisor(_Shown(), server.worker_token)),
            )
        }
        key = keys[0] if keys else None
        services = {
            "controller": Service("controller", urls["controller"], "/leases", TOKEN),
            "worker": Service("worker", urls["worker"], "/v1/models", None),
            "supervisor": Service("supervisor", urls["supervisor"], "/processes", TOKEN),
            "gateway": Service("gateway", urls["gateway"], "/v1/models", key),
            "api": Service("api", urls["api"], "/knowledge_base/list_knowledge_bases", key),
        }
        await _fill(services)
        yield services


def models() -> Models:
    return Models(
        default_chat=SECRET,
        default_embedding="embed",
        served={
            SECRET: ServedModel(task="chat", engine="echo"),
            "embed": ServedModel(task="embedding", engine="echo"),
        },
    )


def fakes() -> Replacements:
    """Everything of the api that is not files and HTTP."""
    return Replacements(
        storage=MemoryStorage(),
        vectors=MemoryStore(),
        keywords=MemoryTextIndex(),
        chat_model=TalkingModel(),
        embedder=FakeEmbedder(),
    )


class _Shown(Switchboard):
    """Shows one process and runs none."""

    def __init__(self) -> None:
        """Nothing is started or watched, so nothing is held."""

    def processes(self) -> ProcessList:
        shown = ProcessReport(name=SECRET, state="ready", port=1, since=datetime.now(UTC))
        return ProcessList(processes=[shown])


def _plan(server: Server) -> WorkerPlan:
    model = HostedModel(SECRET, "chat", EchoEngine(spec(pieces=200, delay_seconds=0.05)), 2000)
    return WorkerPlan(
        Hosting([model]),
        address=server.worker.url,
        controller_url=server.controller.url,
        worker_token=server.worker_token,
        heartbeat_seconds=0.1,
    )


async def _fill(services: dict[str, Service]) -> None:
    """Put something into the api, and wait until the worker's model is listed."""
    async with httpx.AsyncClient(trust_env=False) as http:
        api, gateway = services["api"], services["gateway"]
        made = await http.post(
            f"{api.url}/knowledge_base/create_knowledge_base",
            json={"knowledge_base_name": SECRET},
            headers=_headers(api),
        )
        assert made.json()["code"] == 200, made.text
        async with asyncio.timeout(10):
            while SECRET not in (await http.get(f"{gateway.url}/v1/models", headers=_headers(gateway))).text:
                await asyncio.sleep(0.05)


def _headers(service: Service) -> dict[str, str]:
    return {} if service.key is None else {"x-api-key": service.key}
