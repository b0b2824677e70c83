from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from services.foundation.errors import ServiceUnreachable
from services.wire.control import HeartBeat, RegisterWorker, WorkerStatus
from services.worker.registration import Registration

ADDRESS = "http://127.0.0.1:20002"


class FakeController:
    """A controller that can be away, and that forgets."""

    def __init__(self) -> None:
        self.is_away = False
        self.answers_nonsense = False
        self.known: RegisterWorker | None = None
        self.registrations: list[list[str]] = []
        self.beats: list[HeartBeat] = []

    async def register(self, worker: RegisterWorker) -> None:
        self._check()
        assert worker.worker_status is not None
        self.registrations.append(worker.worker_status.model_names)
        self.known = worker if worker.worker_status.model_names else None

    async def renew(self, beat: HeartBeat) -> bool:
        self._check()
        self.beats.append(beat)
        return self.known is not None

    def _check(self) -> None:
        if self.is_away:
            raise ServiceUnreachable(service="controller", url="http://nowhere", reason="ConnectError")
        if self.answers_nonsense:
            raise ValueError("not JSON")


class Station:
    """A registration beating quickly for a worker whose status can be set."""

    def __init__(self) -> None:
        self.controller = FakeController()
        self.models: list[str] = ["a"]
        self.queue_length = 0
        self.registration = Registration(
            self.controller,  # type: ignore[arg-type]
            address=lambda: ADDRESS,
            status=lambda: WorkerStatus(
                model_names=list(self.models), queue_length=self.queue_length, tasks={"a": "chat"}, dialect="openai"
            ),
            heartbeat_seconds=0.005,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.registration.run())
        yield
        assert not task.done(), "it never gives up"
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def until(self, fact: object) -> None:
        async with asyncio.timeout(2):
            while not fact():  # type: ignore[operator]
                await asyncio.sleep(0.001)


@pytest.fixture
async def station() -> Station:
    return Station()


async def test_it_registers_with_its_status_and_then_renews(station: Station):
    station.queue_length = 3
    async with station.running():
        await station.until(lambda: len(station.controller.beats) >= 2)

    known = station.controller.known
    assert known is not None
    assert known.worker_name == ADDRESS
    assert known.worker_status is not None
    assert known.worker_status.tasks == {"a": "chat"}
    assert known.worker_status.dialect == "openai"
    assert station.controller.registrations == [["a"]]
    assert station.controller.beats[0].queue_length == 3


async def test_a_worker_without_models_waits(station: Station):
    station.models = []
    async with station.running():
        await asyncio.sleep(0.03)
        assert station.controller.registrations == []
        station.models = ["a"]
        await station.until(lambda: station.controller.registrations == [["a"]])


async def test_new_models_are_named_at_once():
    station = Station()
    station.registration._heartbeat_seconds = 60.0
    async with station.running():
        await station.until(lambda: station.controller.registrations == [["a"]])
        station.models.append("b")
        station.registration.wake()
        await station.until(lambda: station.controller.registrations == [["a"], ["a", "b"]])


async def test_a_controller_that_forgot_is_told_again(station: Station):
    async with station.running():
        await station.until(lambda: station.controller.beats)
        station.controller.known = None
        await station.until(lambda: station.controller.known is not None)

    assert station.controller.registrations == [["a"], ["a"]]


@pytest.mark.parametrize("trouble", ["is_away", "answers_nonsense"])
async def test_it_tries_for_ever_and_says_so_once(station: Station, caplog: pytest.LogCaptureFixture, trouble: str):
    caplog.set_level(logging.INFO, "services.worker.registration")
    setattr(station.controller, trouble, True)
    async with station.running():
        await asyncio.sleep(0.1)
        setattr(station.controller, trouble, False)
        station.registration.wake()
        await station.until(lambda: station.controller.beats)
        setattr(station.controller, trouble, True)
        await asyncio.sleep(0.05)

    sentences = [record.message.split(",")[0].split(":")[0] for record in caplog.records]
    assert sentences == [
        "the controller is lost",
        "the controller is back",
        "registered as http",
        "the controller is lost",
    ]


async def test_it_gives_the_lease_back(station: Station):
    async with station.running():
        await station.until(lambda: station.controller.beats)
    await station.registration.withdraw()

    assert station.controller.known is None
    assert station.controller.registrations == [["a"], []]


async def test_nothing_to_give_back(station: Station):
    await station.registration.withdraw()

    assert station.controller.registrations == []


async def test_giving_back_to_a_controller_that_is_away(station: Station, caplog: pytest.LogCaptureFixture):
    async with station.running():
        await station.until(lambda: station.controller.beats)
    station.controller.is_away = True

    await station.registration.withdraw()

    assert "could not be given back" in caplog.text


async def test_a_model_that_fell_ill_is_given_back_at_once(station: Station):
    station.registration._heartbeat_seconds = 60.0
    async with station.running():
        await station.until(lambda: station.controller.registrations == [["a"]])
        station.models = []
        station.registration.wake()
        await station.until(lambda: station.controller.registrations == [["a"], []])
        station.models = ["a"]
        station.registration.wake()
        await station.until(lambda: station.controller.registrations == [["a"], [], ["a"]])


async def test_a_server_that_came_back_elsewhere_is_registered_anew(station: Station):
    where = [ADDRESS]
    station.registration._address = lambda: where[0]
    async with station.running():
        await station.until(lambda: station.controller.beats)
        where[0] = "http://127.0.0.1:4444"
        await station.until(lambda: station.controller.registrations == [["a"], [], ["a"]])

    assert station.controller.known is not None
    assert station.controller.known.worker_name == "http://127.0.0.1:4444"
