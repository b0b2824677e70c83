"""The control of a supervisor: who may call it, and that nothing about it ends the supervisor."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest
from fastapi import FastAPI, Request
from pydantic import SecretStr

from services.clients.supervisor import SupervisorClient
from services.foundation.errors import EngineFailed, ServiceUnreachable
from services.foundation.settings.tree import Endpoint, Logging, Models, ServedModel, Server, Settings
from services.supervisor.control.switchboard import Control
from services.supervisor.flags import Flags
from services.supervisor.keeper import State
from services.worker.app import WorkerPlan
from services.worker.app import create_app as create_worker_app
from services.worker.building import Place, build_hosting
from tests.integration.stand_ins import log_of, make, running
from tests.live import free_port, serve

__all__ = ["make"]
ROOT = Path(__file__).resolve().parents[2]


def control_of(folder, port, token=None, **served):
    """Of a stack whose models never come up by themselves: nothing but the stand-ins is planned."""
    server = Server(
        supervisor=Endpoint(port=port),
        controller=Endpoint(port=free_port()),
        worker=Endpoint(port=free_port()),
        worker_token=token,
        data_dir=folder / "kept",
        logging=Logging(folder=folder / "logs"),
    )
    models = {name: ServedModel(task="chat", engine="echo", **fields) for name, fields in served.items()}
    embedder = {"e": ServedModel(task="embedding", engine="echo")}
    settings = Settings(server=server, models=Models(default_chat="m", default_embedding="e", served=models | embedder))
    return Control(settings, Flags())


async def test_the_control_lists_processes_and_refuses_who_may_not_call(make, tmp_path):
    port = free_port()
    control = control_of(tmp_path, port, SecretStr("the-right-token"), m={})
    async with (
        running([make("one")], tmp_path, control=control) as (recorder, _, _),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as http,
    ):
        await recorder.until(lambda: recorder.is_complete)
        for headers in ({}, {"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}):
            assert (await http.get("/processes", headers=headers)).status_code == 401
            for action in ("start", "stop", "restart", "replace"):
                assert (await http.post(f"/models/m/{action}", headers=headers)).status_code == 401
        known = {"x-api-key": "the-right-token"}
        for browser in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            assert (await http.post("/models/m/start", headers={**known, **browser})).status_code == 403
        assert (await http.get("/processes", headers={**known, "host": "evil.example/x"})).status_code == 400
        assert (await http.get("/healthz")).json()["service"] == "supervisor"
        [process] = (await http.get("/processes", headers=known)).json()["processes"]
        assert (process["name"], process["state"], process["restarts"]) == ("one", "ready", 0)
        assert abs((datetime.fromisoformat(process["since"]) - datetime.now(UTC)).total_seconds()) < 60
        assert recorder.states("one") == [State.STARTING, State.READY]


async def test_a_control_address_in_use_costs_the_control_and_nothing_else(make, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        control = control_of(tmp_path, taken.getsockname()[1], m={})
        async with running([make("one", models=("m",))], tmp_path, control=control) as (recorder, _, _):
            await recorder.until(lambda: recorder.is_complete)
    assert "--supervisor" not in log_of(tmp_path, "one")


async def test_a_worker_is_told_the_control_address(make, tmp_path):
    port = free_port()
    async with running([make("one", models=("m",))], tmp_path, control=control_of(tmp_path, port, m={})) as (
        recorder,
        *_,
    ):
        await recorder.until(lambda: recorder.is_complete)
    assert f"--supervisor http://127.0.0.1:{port}" in log_of(tmp_path, "one")


async def test_the_end_of_the_stack_interrupts_a_start_and_leaves_nothing(make, tmp_path, monkeypatch):
    port = free_port()
    control = control_of(tmp_path, port, m={})
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("CHATCHAT_MODELS__SERVED__M__TASK", "chat")
    monkeypatch.setenv("CHATCHAT_MODELS__SERVED__M__ENGINE", "echo")
    async with running([make("one")], tmp_path, control=control) as (recorder, supervisor, task):
        await recorder.until(lambda: recorder.is_complete)
        async with SupervisorClient(f"http://127.0.0.1:{port}") as client:
            steps = client.start("m")  # there is no controller that could lease it
            async for step in steps:
                if step.state == "starting":
                    break
            worker = (await client.processes()).processes[-1]
            assert worker.models == ["m"]
            began = time.monotonic()
            supervisor.stop()
            await task
            assert time.monotonic() - began < 8
            with pytest.raises((EngineFailed, ServiceUnreachable), match=r"end of the stack|cannot be reached"):
                _ = [step async for step in steps]
    assert worker.pid is not None
    assert not psutil.pid_exists(worker.pid)


async def released(supervisor, body, headers):
    """What a worker that names this supervisor answers to /release."""
    served = {"m": ServedModel(task="chat", engine="echo"), "e": ServedModel(task="embedding", engine="echo")}
    settings = Settings(models=Models(served=served, default_chat="m", default_embedding="e"))
    app = create_worker_app(WorkerPlan(build_hosting(settings, ["m"], Place(1, supervisor)), "http://127.0.0.1:9"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker") as http:
        answer: dict[str, object] = (await http.post("/release", json=body, headers=headers)).json()
        return answer


async def test_a_worker_without_a_supervisor_cannot_be_released():
    answer = await released(None, {}, {})
    assert answer["code"] == 500
    assert "no supervisor of ours" in str(answer["msg"])


async def test_a_worker_shows_its_supervisor_the_callers_own_key():
    asked: list[tuple[str, str | None]] = []
    app = FastAPI()

    @app.post("/models/{rest:path}")
    async def change(rest: str, request: Request) -> dict[str, object]:
        asked.append((rest, request.headers.get("x-api-key")))
        return {"model": "m", "state": "waiting", "seconds": 0}

    done = {"code": 200, "msg": "done"}
    async with serve(app) as url:
        assert await released(url, {}, {"x-api-key": "a-key"}) == done
        assert await released(url, {"new_model_name": "n"}, {"authorization": "Bearer a-token"}) == done
        assert await released(url, {"new_model_name": "n", "keep_origin": True}, {}) == done
        assert await released(url, {"keep_origin": True}, {}) == done  # 0.2.10 does nothing then
    assert asked == [("m/stop", "a-key"), ("m/replace", "a-token"), ("n/start", None)]
