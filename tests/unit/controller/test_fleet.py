"""Leases: given, renewed, expired on read, given back; dispatch; FastChat's import contained."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from services.controller.addresses import AllowedAddresses
from services.controller.fleet import UNWATCHED_SECONDS, Fleet, FleetRules
from services.foundation.errors import Forbidden, InvalidRequest, NoSupervisor, ServiceUnreachable
from services.wire.control import HeartBeat, RegisterWorker, WorkerStatus

A, B = "http://127.0.0.1:1001", "http://127.0.0.1:1002"
ROOT = Path(__file__).resolve().parents[3]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self):
        return self.now


class FakeWorkers:
    """Workers that answer what they are told to."""

    def __init__(self) -> None:
        self.statuses: dict[str, WorkerStatus] = {}
        self.asked: list[str] = []
        self.messages: list[bytes] = []
        self.breaks = False

    async def status(self, address: str) -> WorkerStatus:
        self.asked.append(address)
        if address not in self.statuses:
            raise ServiceUnreachable(service="worker", url=address, reason="ConnectError")
        return self.statuses[address]

    async def stream(self, address: str, parameters: Mapping[str, object]) -> AsyncIterator[bytes]:
        for message in self.messages:
            yield message
        if self.breaks:
            raise ServiceUnreachable(service="worker", url=address, reason="ReadError")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def workers():
    return FakeWorkers()


@pytest.fixture
def fleet(clock, workers):
    return Fleet(FleetRules("shortest_queue", 8.0, AllowedAddresses(["127.0.0.1"])), workers, clock=clock)


def registration(address: str = A, *models: str, **status: object) -> RegisterWorker:
    given = {"model_names": list(models or ["m"]), "dialect": "openai", **status}
    return RegisterWorker(worker_name=address, worker_status=WorkerStatus.model_validate(given))


async def test_a_lease_lives_while_it_is_renewed_and_no_longer(fleet, clock):
    await fleet.register_worker(registration())
    for _ in range(5):
        clock.now += 7.9
        assert fleet.receive_heart_beat(HeartBeat(worker_name=A))
        assert fleet.list_models() == ["m"]
    clock.now += 8.0
    assert fleet.list_models() == []
    assert fleet.get_worker_address("m") == ""
    assert fleet.leases() == []
    assert not fleet.receive_heart_beat(HeartBeat(worker_name=A))


async def test_a_beat_does_not_bring_an_expired_lease_back(fleet, clock):
    await fleet.register_worker(registration())
    clock.now += 8.1
    assert not fleet.receive_heart_beat(HeartBeat(worker_name=A))


async def test_the_fleet_starts_no_thread(fleet):
    before = threading.active_count()
    Fleet(FleetRules("lottery", 8.0, AllowedAddresses([])), FakeWorkers())
    assert threading.active_count() == before


async def test_a_stock_worker_beats_every_45_seconds_and_keeps_its_lease(fleet, clock):
    await fleet.register_worker(registration(A, dialect="fastchat"))
    clock.now += 89
    assert fleet.list_models() == ["m"]
    clock.now += 2
    assert fleet.list_models() == []


async def test_a_worker_that_asks_not_to_be_watched_never_expires(fleet, clock):
    await fleet.register_worker(registration().model_copy(update={"check_heart_beat": False}))
    clock.now += 1e6
    assert [lease.expires_in_seconds for lease in fleet.leases()] == [UNWATCHED_SECONDS]


async def test_an_empty_list_of_models_gives_the_lease_back(fleet):
    await fleet.register_worker(registration())
    await fleet.register_worker(
        RegisterWorker(worker_name=A + "/", worker_status=WorkerStatus(model_names=[], speed=0))
    )
    assert fleet.leases() == []


async def test_a_lease_tells_what_the_worker_said(fleet, clock):
    await fleet.register_worker(registration(A, "m", "e", tasks={"m": "chat"}, queue_length=4, supervisor="http://s"))
    clock.now += 3
    [lease] = fleet.leases()
    assert (lease.worker, lease.expires_in_seconds) == (A, 5.0)
    assert lease.status.model_names == ["m", "e"]
    assert (lease.status.tasks, lease.status.queue_length, lease.status.supervisor) == ({"m": "chat"}, 4, "http://s")


async def test_the_shortest_queue_is_chosen_counting_each_dispatch(fleet):
    await fleet.register_worker(registration(A, queue_length=1))
    await fleet.register_worker(registration(B))
    assert [fleet.get_worker_address("m") for _ in range(4)] == [B, A, B, A]
    fleet.receive_heart_beat(HeartBeat(worker_name=A, queue_length=0))
    assert fleet.get_worker_address("m") == A


async def test_a_fast_worker_counts_for_more(fleet):
    await fleet.register_worker(registration(A, queue_length=3, speed=10))
    await fleet.register_worker(registration(B, queue_length=1))
    assert fleet.get_worker_address("m") == A


async def test_the_lottery_draws_only_workers_of_the_model(workers, clock):
    fleet = Fleet(FleetRules("lottery", 8.0, AllowedAddresses(["127.0.0.1"])), workers, clock=clock)
    await fleet.register_worker(registration(A, "m"))
    await fleet.register_worker(registration(B, "other"))
    assert {fleet.get_worker_address("m") for _ in range(20)} == {A}
    assert fleet.get_worker_address("absent") == ""


async def test_a_route_names_the_dialect_and_the_replicas(fleet):
    await fleet.register_worker(registration(A))
    assert fleet.route("m").model_dump() == {"address": A, "dialect": "openai", "replicas": 1}
    await fleet.register_worker(registration(B))
    assert fleet.route("m").model_dump()["replicas"] == 2
    assert fleet.route("absent").address == ""


async def test_a_drained_worker_is_routed_to_no_more_and_its_beats_do_not_bring_it_back(fleet, workers, clock):
    await fleet.register_worker(registration(A))
    await fleet.register_worker(registration(B))
    assert fleet.drain_worker(A + "/")
    assert {fleet.get_worker_address("m") for _ in range(4)} == {B}
    assert fleet.route("m").replicas == 1
    assert [lease.worker for lease in fleet.leases()] == [B]
    assert fleet.drain_worker(B)
    assert fleet.list_models() == []
    assert fleet.receive_heart_beat(HeartBeat(worker_name=A))  # or else it would register again
    workers.statuses = {A: WorkerStatus(model_names=["m"]), B: WorkerStatus(model_names=["m"])}
    await fleet.refresh_all_workers()
    assert fleet.list_models() == []
    await fleet.register_worker(registration(A))
    assert fleet.get_worker_address("m") == A
    clock.now += 9
    assert not fleet.drain_worker(B)
    assert not fleet.drain_worker("http://127.0.0.1:9")


async def test_the_supervisors_of_a_model_are_listed_once_and_checked(fleet):
    await fleet.register_worker(registration(A, supervisor="http://127.0.0.1:20009"))
    await fleet.register_worker(registration(B, supervisor="http://127.0.0.1:20009/"))
    assert fleet.supervisors("m") == ["http://127.0.0.1:20009"]
    assert fleet.supervisors("absent") == []
    await fleet.register_worker(registration(B, supervisor="http://evil:20009"))
    with pytest.raises(Forbidden):
        fleet.supervisors("m")
    await fleet.register_worker(registration(B))
    with pytest.raises(NoSupervisor):
        fleet.supervisors("m")


async def test_a_foreign_address_is_refused_and_not_asked(fleet, workers):
    with pytest.raises(Forbidden):
        await fleet.register_worker(RegisterWorker(worker_name="http://evil:9/"))
    assert workers.asked == []
    assert fleet.leases() == []


async def test_a_worker_without_status_is_asked_for_it(fleet, workers):
    workers.statuses[A] = WorkerStatus(model_names=["asked"])
    await fleet.register_worker(RegisterWorker(worker_name=A))
    assert workers.asked == [A]
    assert fleet.list_models() == ["asked"]


async def test_a_worker_without_status_that_does_not_answer_is_refused(fleet):
    with pytest.raises(ServiceUnreachable):
        await fleet.register_worker(RegisterWorker(worker_name=A))
    assert fleet.list_models() == []


async def test_a_speed_of_zero_is_refused(fleet):
    with pytest.raises(InvalidRequest, match="speed"):
        await fleet.register_worker(registration(A, speed=0))


async def test_a_refresh_asks_all_and_drops_the_silent(fleet, workers):
    await fleet.register_worker(registration(A, "m", tasks={"m": "chat"}))
    await fleet.register_worker(registration(B, "n"))
    workers.statuses[A] = WorkerStatus(model_names=["m", "new"], queue_length=2)
    await fleet.refresh_all_workers()
    [lease] = fleet.leases()
    assert lease.status.model_names == ["m", "new"]
    assert (lease.status.dialect, lease.status.tasks, lease.status.queue_length) == ("openai", {"m": "chat"}, 2)


async def test_language_and_multimodal_models_are_listed_apart(fleet):
    await fleet.register_worker(registration(A, "text"))
    await fleet.register_worker(registration(B, "image").model_copy(update={"multimodal": True}))
    assert fleet.list_language_models() == ["text"]
    assert fleet.list_multimodal_models() == ["image"]


async def test_the_fleet_as_one_worker_sums_without_asking(fleet, workers):
    await fleet.register_worker(registration(A, "m", queue_length=1))
    await fleet.register_worker(registration(B, "n", speed=2, queue_length=2))
    status = fleet.worker_api_get_status()
    assert (status.model_names, status.speed, status.queue_length) == (["m", "n"], 3, 3)
    assert workers.asked == []


async def _streamed(fleet: Fleet, model: str) -> list[dict[str, object]]:
    body = b"".join([piece async for piece in fleet.worker_api_generate_stream({"model": model})])
    assert body.endswith(b"\0")
    return [json.loads(message) for message in body.split(b"\0") if message]


async def test_a_stream_without_worker_is_one_error_and_the_end(fleet):
    [message] = await _streamed(fleet, "absent")
    assert message["error_code"] == 50005
    assert "absent" in str(message["text"])
    assert "HIGH TRAFFIC" not in str(message["text"])


async def test_a_stream_that_breaks_ends_with_one_error(fleet, workers):
    await fleet.register_worker(registration())
    workers.messages = [b'{"text": "a", "error_code": 0}\0']
    workers.breaks = True
    first, last = await _streamed(fleet, "m")
    assert first == {"text": "a", "error_code": 0}
    assert last["error_code"] == 50006


def test_importing_the_controller_leaves_no_trace(tmp_path):
    program = (
        "import logging, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "streams, handlers = (sys.stdout, sys.stderr), logging.getLogger().handlers[:]\n"
        "import services.controller.app\n"
        "assert (sys.stdout, sys.stderr) == streams\n"
        "assert logging.getLogger().handlers == handlers == []\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(ROOT)], cwd=tmp_path, env={}, check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []
