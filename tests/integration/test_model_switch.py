"""Models started, stopped, replaced and restarted at run time: a real supervisor, controller, gateway and workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from services.clients.control import ControllerClient
from services.clients.supervisor import SupervisorClient
from services.foundation.errors import EngineFailed, InvalidRequest, ModelRunning, NoWorker, UnknownModel
from services.wire.control import ReleaseWorker, ReplaceModel
from tests.live import free_port, free_run

ROOT = Path(__file__).resolve().parents[2]
RUNNER = """
import asyncio, logging, sys
from services.foundation.settings.load import load_settings
from services.supervisor.control.switchboard import Control
from services.supervisor.flags import parse
from services.supervisor.keeper import Policy
from services.supervisor.plan import build_plan
from services.supervisor.supervisor import Supervisor

class Silent:
    def changed(self, status): pass
    def complete(self): print("complete", flush=True)
    def stopping(self): pass

logging.basicConfig(filename=sys.argv[1], level="INFO")
settings, flags = load_settings(), parse(sys.argv[2:])
policy = Policy(stop_grace_seconds=4, poll_seconds=0.05, watch_seconds=0.2, idle_seconds=0.3, drain_seconds=10)
asyncio.run(
    Supervisor(build_plan(settings, flags), policy, settings.server.logging, Silent(), Control(settings, flags)).run()
)
"""
SLOW = "org/slow one"
SERVED = {
    "alpha": {"task": "chat", "engine": "echo"},
    "embed": {"task": "embedding", "engine": "echo"},
    "beta": {"task": "chat", "engine": "echo", "gpus": "0"},
    "gamma": {"task": "chat", "engine": "echo", "gpus": "0"},
    "twin": {"task": "chat", "engine": "echo", "replicas": 2},
    "broken": {"task": "chat", "engine": "echo", "options": {"nonsense": 1}, "gpus": "0"},
    SLOW: {"task": "chat", "engine": "echo", "options": {"delay_seconds": 0.1, "pieces": 15}},
    "left": {"task": "chat", "engine": "echo", "worker": "both"},
    "right": {"task": "chat", "engine": "echo", "worker": "both"},
}


@dataclass
class Stack:
    """One running stack: the supervisor's process and where its services are."""

    process: subprocess.Popen[str]
    supervisor: str
    controller: str
    gateway: str
    folder: Path

    def models(self) -> list[str]:
        return sorted(httpx.post(f"{self.controller}/list_models", trust_env=False).json()["models"])

    def leases(self, model: str) -> list[dict[str, object]]:
        leases = httpx.get(f"{self.controller}/leases", trust_env=False).json()["leases"]
        return [lease for lease in leases if model in lease["status"]["model_names"]]

    def processes(self) -> dict[str, dict[str, object]]:
        answer = httpx.get(f"{self.supervisor}/processes", trust_env=False).json()
        return {process["name"]: process for process in answer["processes"]}

    def workers_of(self, name: str) -> list[psutil.Process]:
        """The real processes called so, whoever started them."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if _names(child, name)]


def _names(process: psutil.Process, name: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE and name in process.cmdline()
    return False


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("switching")
    ports = {name: free_port() for name in ("controller", "gateway", "supervisor")}
    ports["worker"] = free_run(len(SERVED) + 1)
    endpoints = {name: {"port": port} for name, port in ports.items()}
    server = {**endpoints, "data_dir": str(folder / "kept"), "logging": {"folder": str(folder / "logs")}}
    models = {"default_chat": "alpha", "default_embedding": "embed", "served": SERVED}
    (folder / "configs").mkdir()
    (folder / "logs").mkdir()
    (folder / "configs" / "server.yaml").write_text(yaml.safe_dump(server), encoding="utf-8")
    (folder / "configs" / "models.yaml").write_text(yaml.safe_dump(models), encoding="utf-8")
    (folder / "runner.py").write_text(RUNNER, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHATCHAT_")}  # noqa: TID251
    process = subprocess.Popen(
        [sys.executable, str(folder / "runner.py"), str(folder / "supervisor.log"), "-o", "-m", "-n", "alpha"],
        env={**kept, "PYTHONPATH": str(ROOT), "CHATCHAT_CONFIG_DIR": str(folder / "configs")},
        stdout=subprocess.PIPE,
        text=True,
    )
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items() if name != "worker"}
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "complete\n"
            yield Stack(process, folder=folder, **urls)
            family = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
            assert not [child for child in family if child.is_running()]
        finally:
            process.kill()


@pytest.fixture
async def supervisor(stack):
    async with SupervisorClient(stack.supervisor) as client:
        yield client


@pytest.fixture
async def controller(stack):
    async with ControllerClient(stack.controller) as client:
        yield client


async def done(steps):
    """All events; the last one says that it is done."""
    events = [step async for step in steps]
    assert events[-1].state == "done"
    return events


async def until(is_so):
    async with asyncio.timeout(15):
        while not is_so():
            await asyncio.sleep(0.05)


async def test_a_model_is_started_and_stopped_while_the_stack_runs(stack, supervisor):
    events = await done(supervisor.start("beta"))
    assert [event.state for event in events if event.state != "starting"] == ["waiting", "done"]
    assert [event.seconds for event in events] == sorted(event.seconds for event in events)
    [lease] = stack.leases("beta")
    assert lease["status"]["supervisor"] == stack.supervisor
    process = stack.processes()["worker-beta"]
    assert (process["state"], process["models"], process["restarts"]) == ("ready", ["beta"], 0)
    assert process["pid"] == stack.workers_of("worker-beta")[0].pid
    assert lease["worker"] == f"http://127.0.0.1:{process['port']}"
    states = [event.state for event in await done(supervisor.stop("beta"))]
    assert list(dict.fromkeys(states)) == ["waiting", "draining", "stopping", "done"]
    assert stack.leases("beta") == []
    assert "worker-beta" not in stack.processes()
    await asyncio.sleep(1)
    assert stack.workers_of("worker-beta") == []


async def test_a_model_keeps_its_port_whether_it_was_planned_or_not(stack, supervisor):
    before = stack.processes()["worker-alpha"]["port"]
    await done(supervisor.restart("alpha"))
    after = stack.processes()["worker-alpha"]
    assert (after["port"], after["state"], after["restarts"]) == (before, "ready", 0)
    assert stack.models() == ["alpha"]


async def test_one_that_was_required_may_be_stopped_and_the_stack_stays(stack, supervisor):
    await done(supervisor.stop("alpha"))
    assert stack.models() == []
    assert stack.process.poll() is None
    with pytest.raises(NoWorker):
        await done(supervisor.stop("alpha"))
    await done(supervisor.start("alpha"))
    assert stack.models() == ["alpha"]


async def test_replicas_have_a_port_and_a_lease_each_and_come_back_when_killed(stack, supervisor):
    await done(supervisor.start("twin"))
    first, second = (stack.processes()[name] for name in ("worker-twin", "worker-twin-2"))
    assert first["port"] != second["port"]
    assert len(stack.leases("twin")) == 2
    (victim,) = stack.workers_of("worker-twin-2")
    victim.kill()
    await until(lambda: stack.processes()["worker-twin-2"]["restarts"] == 1)
    await until(lambda: stack.processes()["worker-twin-2"]["state"] == "ready")
    assert stack.processes()["worker-twin"]["pid"] == first["pid"]
    await until(lambda: len(stack.leases("twin")) == 2)
    await done(supervisor.stop("twin"))
    assert stack.leases("twin") == []


async def test_a_start_that_fails_says_why_and_leaves_nothing(stack, supervisor):
    with pytest.raises(EngineFailed) as failure:
        await done(supervisor.start("broken"))
    assert "exit code 2" in str(failure.value)
    assert "nonsense" in str(failure.value)
    assert "worker-broken" not in stack.processes()
    assert stack.workers_of("worker-broken") == []
    assert stack.models() == ["alpha"]


async def test_what_cannot_be_done_is_refused_with_its_status(stack, supervisor):
    with pytest.raises(UnknownModel, match="alpha, beta"):
        await done(supervisor.start("absent"))
    with pytest.raises(ModelRunning):
        await done(supervisor.start("alpha"))
    with pytest.raises(ModelRunning):
        await done(supervisor.replace("alpha", ReplaceModel(by="alpha")))
    with pytest.raises(NoWorker):
        await done(supervisor.replace("beta", ReplaceModel(by="gamma")))
    async with httpx.AsyncClient(base_url=stack.supervisor) as http:
        assert (await http.post("/models/absent/start")).status_code == 404
        assert (await http.post("/models/alpha/start")).status_code == 409
        assert (await http.post("/models/alpha/replace", json={"by": ""})).status_code == 400


async def test_of_many_who_start_a_model_at_once_one_does(stack, supervisor):
    outcomes = await asyncio.gather(*(done(supervisor.start("beta")) for _ in range(4)), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ModelRunning"] * 3 + ["list"]
    assert len(stack.workers_of("worker-beta")) == 1
    stops = await asyncio.gather(*(done(supervisor.stop("beta")) for _ in range(3)))
    assert len(stops) == 3
    assert stack.workers_of("worker-beta") == []


async def test_a_start_under_way_can_be_stopped(stack, supervisor):
    starting = asyncio.create_task(done(supervisor.start("beta")))
    await until(lambda: stack.workers_of("worker-beta"))
    await done(supervisor.stop("beta"))
    with pytest.raises(EngineFailed, match="another request"):
        await starting
    assert stack.workers_of("worker-beta") == []
    assert stack.models() == ["alpha"]


async def test_a_start_goes_on_when_its_caller_leaves(stack, supervisor):
    async for step in supervisor.start("beta"):
        if step.state == "starting":
            break
    await until(lambda: stack.leases("beta"))
    await until(lambda: stack.processes()["worker-beta"]["state"] == "ready")
    await done(supervisor.stop("beta"))


async def test_a_replacement_starts_the_new_one_first_unless_both_want_the_same_gpu(stack, supervisor):
    at_work = [(event.model, event.state) for event in await done(supervisor.replace("alpha", ReplaceModel(by="beta")))]
    assert at_work.index(("beta", "starting")) < at_work.index(("alpha", "draining"))
    assert stack.models() == ["beta"]
    at_work = [(event.model, event.state) for event in await done(supervisor.replace("beta", ReplaceModel(by="gamma")))]
    assert at_work.index(("beta", "stopping")) < at_work.index(("gamma", "starting"))
    assert stack.models() == ["gamma"]
    await done(supervisor.replace("gamma", ReplaceModel(by="alpha", first="stop")))
    assert stack.models() == ["alpha"]


async def test_what_had_to_go_first_is_brought_back_when_its_successor_fails(stack, supervisor):
    await done(supervisor.start("beta"))
    with pytest.raises(EngineFailed, match="nonsense"):
        await done(supervisor.replace("beta", ReplaceModel(by="broken")))
    assert stack.models() == ["alpha", "beta"]
    await done(supervisor.stop("beta"))


async def test_models_that_share_a_worker_are_not_stopped_behind_each_others_back(stack, supervisor):
    await done(supervisor.start("left"))
    with pytest.raises(InvalidRequest, match="runs already, with left"):
        await done(supervisor.start("right"))
    await done(supervisor.stop("left"))


async def test_a_model_that_stops_is_unlisted_at_once_and_ends_what_it_had_begun(stack, supervisor):
    await done(supervisor.start(SLOW))
    body = {"model": SLOW, "messages": [{"role": "user", "content": "a b c d e f g h i j k l m n o"}], "stream": True}

    async def asked():
        async with httpx.AsyncClient(base_url=stack.gateway, timeout=30) as http:
            return (await http.post("/v1/chat/completions", json=body)).text

    asking = asyncio.create_task(asked())
    address = stack.leases(SLOW)[0]["worker"]
    async with httpx.AsyncClient(timeout=5) as http:

        async def length():
            return (await http.post(f"{address}/worker_get_status")).json()["queue_length"]

        while not await length():
            await asyncio.sleep(0.02)
        began = time.monotonic()
        stopping = asyncio.create_task(done(supervisor.stop(SLOW)))
        await until(lambda: stack.models() == ["alpha"])
        assert time.monotonic() - began < 1
        assert await length() == 1
    assert '"content":"o"' in (await asking).replace(" ", "")
    await stopping
    assert stack.workers_of("worker-org-slow-one") == []


async def test_a_plain_answer_and_one_that_does_not_wait(stack):
    async with httpx.AsyncClient(base_url=stack.supervisor, timeout=30) as http:
        begun = await http.post("/models/beta/start?wait=false")
        assert begun.status_code == 202
        assert begun.json()["state"] == "waiting"
        await until(lambda: "worker-beta" in stack.processes() and stack.leases("beta"))
        await until(lambda: stack.processes()["worker-beta"]["state"] == "ready")
        ended = await http.post("/models/beta/stop", headers={"accept": "application/json"})
        assert (ended.status_code, ended.json()["state"], ended.json()["model"]) == (200, "done", "beta")
        failed = await http.post("/models/broken/start", headers={"accept": "application/json"})
        assert failed.status_code == 500
        assert failed.json()["error"]["code"] == "model.engine_failed"


async def test_release_worker_speaks_as_in_0_2_10(stack, controller):
    async def release(model, new=None, keep_origin=False):
        wanted = ReleaseWorker(model_name=model, new_model_name=new, keep_origin=keep_origin)
        answer = await controller.release(wanted)
        return answer.code, answer.msg

    assert await release("absent") == (500, "the model absent is not available")
    assert await release("absent", "alpha") == (500, "要切换的LLM模型 alpha 已经存在")
    assert await release("alpha", "beta") == (200, "sucess change model from alpha to beta")
    assert stack.models() == ["beta"]
    assert await release("beta", "alpha", keep_origin=True) == (200, "sucess change model from beta to alpha")
    assert stack.models() == ["alpha", "beta"]
    assert await release("beta", "broken") == (500, "failed change model from beta to broken")
    assert stack.models() == ["alpha", "beta"]
    assert await release("beta") == (200, "sucess to release model: beta")
    assert stack.models() == ["alpha"]
    async with httpx.AsyncClient(base_url=stack.controller, timeout=30) as http:
        body = {"model_name": "alpha", "new_model_name": "broken"}
        answer = (await http.post("/release_worker", json=body)).json()
        assert "nonsense" in answer.pop("reason")
        assert answer == {"code": 500, "msg": "failed change model from alpha to broken"}
        assert (await http.post("/release_worker", json={"model_name": "x"})).json() == {
            "code": 500,
            "msg": "the model x is not available",
        }


async def test_a_workers_own_release_asks_its_supervisor(stack, supervisor):
    address = stack.leases("alpha")[0]["worker"]
    async with httpx.AsyncClient(base_url=str(address), timeout=10) as http:
        answer = await http.post("/release", json={"new_model_name": "beta", "keep_origin": True})
        assert answer.json() == {"code": 200, "msg": "done"}
        await until(lambda: stack.models() == ["alpha", "beta"])
        refused = (await http.post("/release", json={"new_model_name": "absent"})).json()
        assert refused["code"] == 500
        assert "absent" in refused["msg"]
    await until(lambda: stack.processes()["worker-beta"]["state"] == "ready")
    address = stack.leases("beta")[0]["worker"]
    async with httpx.AsyncClient(base_url=str(address), timeout=10) as http:
        assert (await http.post("/release", json={})).json() == {"code": 200, "msg": "done"}
    await until(lambda: "worker-beta" not in stack.processes())
    await until(lambda: not stack.workers_of("worker-beta"))
