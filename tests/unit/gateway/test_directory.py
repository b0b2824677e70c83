"""The table of leases: renewed in the background and when a model is missing; believed for a while without it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from services.foundation.errors import NoWorker, ProviderFailed, ServiceUnreachable, UnknownModel
from services.foundation.settings.tree import ServedModel
from services.gateway.directory import TABLE_SECONDS, Directory
from services.gateway.replicas import Route
from services.wire.control import Lease, LeaseList, WorkerAddress, WorkerStatus


class FakeController:
    """Shows the leases of a table; counts the questions."""

    def __init__(self, *, stock: bool = False) -> None:
        self.stock = stock
        self.workers: dict[str, list[str]] = {"http://w1/": ["m"]}
        self.asked: list[str] = []
        self.is_away = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def _ask(self, what: str) -> None:
        self.asked.append(what)
        await self.gate.wait()
        if self.is_away:
            raise ServiceUnreachable(service="controller", url="u", reason="gone")

    async def address(self, model: str) -> WorkerAddress:
        await self._ask("address")
        found = [worker for worker, models in self.workers.items() if model in models]
        return WorkerAddress(address=found[len(self.asked) % len(found)] if found else "")

    async def models(self) -> list[str]:
        await self._ask("models")
        return sorted({model for models in self.workers.values() for model in models})

    async def leases(self) -> LeaseList:
        shown = dict(self.workers)
        await self._ask("leases")
        if self.stock:
            raise ProviderFailed(model="controller", reason="HTTP 404")
        return LeaseList(leases=[_lease(worker, models) for worker, models in shown.items()])


def _lease(worker: str, models: list[str]) -> Lease:
    tasks = {model: "chat" for model in models if model == "m"}
    status = WorkerStatus(model_names=models, tasks=tasks, dialect="openai", queue_length=3)
    return Lease(worker=worker, status=status, expires_in_seconds=1)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


SERVED = {"configured": ServedModel(task="embedding", engine="e")}


@pytest.fixture
def controller():
    return FakeController()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def directory(controller, clock):
    return Directory(controller, SERVED, clock=clock)


async def test_a_known_model_costs_no_question(directory, controller):
    for _ in range(5):
        assert list(await directory.routes("m")) == [Route("http://w1", "openai", 3)]
    assert controller.asked == ["leases"]


async def test_every_replica_is_known(directory, controller):
    controller.workers["http://w2"] = ["m", "other"]
    assert [route.address for route in await directory.routes("m")] == ["http://w1", "http://w2"]


async def test_many_who_miss_a_model_share_the_question(directory, controller):
    controller.gate.clear()
    waiting = [asyncio.create_task(directory.routes("m")) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    controller.gate.set()
    await asyncio.gather(*waiting)
    assert controller.asked.count("leases") <= 2


async def test_a_worker_that_joins_while_a_question_is_under_way_is_found(directory, controller):
    controller.gate.clear()
    first = asyncio.create_task(directory.look_up("m"))
    await asyncio.sleep(0.001)
    controller.workers["http://w2"] = ["new"]
    second = asyncio.create_task(directory.routes("new"))
    await asyncio.sleep(0.001)
    controller.gate.set()
    await first
    assert [route.address for route in await second] == ["http://w2"]


async def test_the_table_is_renewed_in_the_background(directory, controller):
    told: list[set[str]] = []
    directory.tell(told.append)
    running = asyncio.create_task(directory.run())
    async with asyncio.timeout(3):
        while len(told) < 2:
            await asyncio.sleep(0.01)
            controller.workers = {"http://w2": ["m"]}
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert told[-1] == {"http://w2"}
    assert [route.address for route in directory.known("m")] == ["http://w2"]


async def test_without_the_controller_the_last_table_is_believed_for_a_while(directory, controller, clock, caplog):
    await directory.routes("m")
    controller.is_away = True
    clock.now = TABLE_SECONDS - 0.1
    assert [route.address for route in await directory.routes("m")] == ["http://w1"]
    assert await directory.tasks() == {"m": "chat"}
    with pytest.raises(NoWorker):
        await directory.routes("configured")
    clock.now = TABLE_SECONDS
    with pytest.raises(ServiceUnreachable):
        await directory.routes("m")
    with pytest.raises(ServiceUnreachable):
        await directory.tasks()
    assert caplog.text.count("the controller is lost") == 1
    controller.is_away = False
    assert await directory.routes("m")


async def test_without_any_table_the_controllers_absence_is_the_answer(directory, controller):
    controller.is_away = True
    with pytest.raises(ServiceUnreachable):
        await directory.routes("m")


async def test_one_who_leaves_does_not_spoil_the_question_of_the_others(directory, controller):
    controller.gate.clear()
    leaving, staying = (asyncio.create_task(directory.routes("m")) for _ in range(2))
    await asyncio.sleep(0.001)
    leaving.cancel()
    await asyncio.sleep(0.001)
    controller.gate.set()
    assert await staying
    assert leaving.cancelled()


async def test_a_stock_controller_is_asked_each_time_and_means_fastchat(caplog):
    controller = FakeController(stock=True)
    directory = Directory(controller, {})
    assert list(await directory.routes("m")) == [Route("http://w1", "fastchat")]
    assert list(await directory.routes("m")) == [Route("http://w1", "fastchat")]
    assert controller.asked == ["leases", "models", "address", "address"]
    assert caplog.text.count("shows no leases") == 1
    assert await directory.tasks() == {"m": None}
    await asyncio.wait_for(directory.run(), 1)  # nothing to renew


async def test_an_answer_that_is_no_controllers_does_not_make_it_a_stock_one():
    controller = FakeController(stock=True)
    controller.is_away = True
    directory = Directory(controller, {})
    with pytest.raises(ServiceUnreachable):
        await directory.routes("m")
    controller.is_away = controller.stock = False
    assert list(await directory.routes("m")) == [Route("http://w1", "openai", 3)]


@pytest.mark.parametrize("stock", [False, True])
async def test_absent_models_are_told_apart(stock):
    directory = Directory(FakeController(stock=stock), SERVED)
    for asked in (directory.routes, directory.task):
        with pytest.raises(UnknownModel, match="configured, m"):
            await asked("absent")
        with pytest.raises(NoWorker):
            await asked("configured")


async def test_the_list_holds_live_models_with_their_task(directory, controller):
    controller.workers["http://w2"] = ["configured", "unheard-of"]
    assert await directory.tasks() == {"m": "chat", "configured": "embedding", "unheard-of": None}
    assert await directory.task("m") == "chat"
