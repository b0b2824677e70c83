"""Routes are asked for, remembered briefly, and absent models told apart."""

from __future__ import annotations

import pytest

from services.foundation.errors import NoWorker, ProviderFailed, UnknownModel
from services.foundation.settings.tree import ServedModel
from services.gateway.directory import Directory, Route
from services.wire.control import Lease, LeaseList, WorkerAddress, WorkerStatus


class FakeController:
    """Answers from a table; counts the look-ups."""

    def __init__(self, *, stock: bool = False) -> None:
        self.stock = stock
        self.replicas: dict[str, int] = {"m": 1}
        self.asked = 0

    async def address(self, model: str) -> WorkerAddress:
        self.asked += 1
        if model not in self.replicas:
            return WorkerAddress(address="")
        given: dict[str, object] = {"address": f"http://w{self.asked}/"}
        if not self.stock:
            given |= {"dialect": "openai", "replicas": self.replicas[model]}
        return WorkerAddress.model_validate(given)

    async def models(self) -> list[str]:
        return list(self.replicas)

    async def leases(self) -> LeaseList:
        if self.stock:
            raise ProviderFailed(model="controller", reason="HTTP 404")
        status = WorkerStatus(model_names=list(self.replicas), tasks={"m": "chat"})
        return LeaseList(leases=[Lease(worker="http://w", status=status, expires_in_seconds=1)])


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


async def test_a_sole_worker_is_remembered_for_two_seconds(directory, controller, clock):
    assert await directory.route("m") == Route("http://w1", "openai")
    clock.now = 1.9
    assert (await directory.route("m")).address == "http://w1"
    clock.now = 2.0
    assert (await directory.route("m")).address == "http://w2"
    assert controller.asked == 2


async def test_a_forgotten_route_is_asked_for_again(directory):
    await directory.route("m")
    directory.forget("m")
    assert (await directory.route("m")).address == "http://w2"


async def test_between_several_workers_the_controller_chooses_each_time(directory, controller):
    controller.replicas["m"] = 2
    assert [(await directory.route("m")).address for _ in range(3)] == ["http://w1", "http://w2", "http://w3"]


async def test_a_stock_controller_is_asked_each_time_and_means_fastchat():
    directory = Directory(FakeController(stock=True), {})
    assert await directory.route("m") == Route("http://w1", "fastchat")
    assert await directory.route("m") == Route("http://w2", "fastchat")


async def test_an_unknown_model_names_the_known_ones(directory):
    with pytest.raises(UnknownModel, match="configured, m"):
        await directory.route("absent")
    with pytest.raises(UnknownModel, match="configured, m"):
        await directory.card("absent")


async def test_a_configured_model_without_worker_is_no_unknown_model(directory):
    with pytest.raises(NoWorker):
        await directory.route("configured")
    with pytest.raises(NoWorker):
        await directory.card("configured")


async def test_the_list_holds_live_models_with_their_task(directory, controller):
    controller.replicas["configured"] = 1
    cards = {card.id: card.task for card in await directory.cards()}
    assert cards == {"m": "chat", "configured": "embedding"}
    assert (await directory.card("m")).task == "chat"


async def test_a_stock_controller_without_leases_lists_its_models():
    directory = Directory(FakeController(stock=True), SERVED)
    assert [(card.id, card.task) for card in await directory.cards()] == [("m", None)]
