from __future__ import annotations

import asyncio

import pytest

from services.foundation.errors import EngineFailed, InvalidRequest, InvalidSetting, NoWorker, UnknownModel
from services.worker.engines.echo import EchoEngine
from services.worker.hosted import HostedModel
from services.worker.hosting import Hosting
from tests.contract.engine import spec
from tests.unit.worker.building import echo_model


class Slow(EchoEngine):
    """Starts when told to, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__(spec())
        self.may_start = asyncio.Event()
        self.failure = failure
        self.is_stopped = False

    async def start(self) -> None:
        await self.may_start.wait()
        if self.failure is not None:
            raise self.failure

    async def stop(self) -> None:
        self.is_stopped = True
        if self.failure is not None:
            raise self.failure


async def begin(hosting: Hosting) -> tuple[asyncio.Task[None], list[list[str]]]:
    seen: list[list[str]] = []
    task = asyncio.create_task(hosting.start(lambda: seen.append(hosting.status().model_names)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task, seen


async def test_each_model_is_served_as_soon_as_it_has_started():
    slow = Slow()
    hosting = Hosting([echo_model("quick"), HostedModel("slow", "chat", slow, 100)])
    task, seen = await begin(hosting)

    assert seen == [["quick"]]
    assert hosting.health().status == "starting"
    assert hosting.health().detail == {"quick": "ok", "slow": "starting"}
    assert hosting.find("quick", "chat").name == "quick"
    with pytest.raises(NoWorker):
        hosting.find("slow", "chat")

    slow.may_start.set()
    await task
    assert seen == [["quick"], ["quick", "slow"]]
    assert hosting.health().status == "ok"
    assert hosting.status().tasks == {"quick": "chat", "slow": "chat"}
    assert hosting.status().dialect == "openai"


@pytest.mark.parametrize("failure", [EngineFailed(model="bad", reason="no weights"), ValueError("no weights")])
async def test_a_model_that_does_not_start_leaves_the_others(failure: Exception, caplog: pytest.LogCaptureFixture):
    bad = Slow(failure)
    bad.may_start.set()
    hosting = Hosting([echo_model("good"), HostedModel("bad", "chat", bad, 100)])

    await hosting.start(lambda: None)

    assert hosting.health().status == "degraded"
    assert "no weights" in hosting.health().detail["bad"]
    assert hosting.status().model_names == ["good"]
    assert not hosting.has_failed
    assert "model bad does not start" in caplog.text
    with pytest.raises(EngineFailed, match="no weights"):
        hosting.find("bad", "chat")


async def test_nothing_started():
    bad = Slow(ValueError("no"))
    bad.may_start.set()
    hosting = Hosting([HostedModel("bad", "chat", bad, 100)])

    await hosting.start(lambda: None)

    assert hosting.has_failed
    assert hosting.health().status == "starting", "never ready"


async def test_one_engine_that_cannot_stop_does_not_keep_the_others_from_it(caplog: pytest.LogCaptureFixture):
    bad, good = Slow(ValueError("stuck")), Slow()
    hosting = Hosting([HostedModel("bad", "chat", bad, 100), HostedModel("good", "chat", good, 100)])

    await hosting.stop()

    assert bad.is_stopped
    assert good.is_stopped
    assert "did not stop cleanly" in caplog.text


async def test_a_model_that_is_not_here_and_one_that_does_something_else():
    hosting = Hosting([echo_model("chatty"), echo_model("vectors", "embedding")])
    await hosting.start(lambda: None)

    with pytest.raises(UnknownModel, match="chatty, vectors"):
        hosting.find("other", "chat")
    with pytest.raises(InvalidRequest, match="'vectors' is a model for embedding, not for chat"):
        hosting.chat("vectors")
    with pytest.raises(InvalidRequest):
        hosting.embedding("chatty")
    with pytest.raises(InvalidRequest):
        hosting.rerank("chatty")


async def test_the_queue_length_is_that_of_all_models():
    hosting = Hosting([echo_model("a"), echo_model("b")])
    await hosting.start(lambda: None)

    async with hosting.models[0].slots.hold(), hosting.models[1].slots.hold():
        assert hosting.status().queue_length == 2
    assert hosting.status().queue_length == 0


class Embedder:
    """An engine that does one task only."""

    def __init__(self) -> None:
        self.concurrency = 1

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def embed(self, request: object) -> None: ...


def test_an_engine_that_cannot_do_the_task_is_refused():
    with pytest.raises(InvalidSetting, match=r"models.served.m.task.*Embedder cannot do chat"):
        HostedModel("m", "chat", Embedder(), 100)
