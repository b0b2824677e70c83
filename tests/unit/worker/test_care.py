from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import pytest

from services.foundation.errors import EngineFailed, InvalidSetting, NoWorker, ServiceUnreachable
from services.wire.openai import ChatChunk, ChatCompletionRequest
from services.worker.care import CareRules, sickness
from services.worker.engines.base import Vitals
from services.worker.engines.echo import EchoEngine
from services.worker.hosted import HostedModel, State
from services.worker.hosting import Hosting
from tests.contract.engine import spec
from tests.unit.worker.building import echo_model

QUICK = CareRules(canary_seconds=0.02, canary_timeout_seconds=0.1, stall_seconds=0.1, look_seconds=0.005)
NO_CANARY = dataclasses.replace(QUICK, canary_seconds=0.0)


class Moody(EchoEngine):
    """Answers so many tiny requests, then hangs or fails."""

    def __init__(self, *, well_for: int, failure: Exception | None = None) -> None:
        super().__init__(spec())
        self.asked = 0
        self.well_for = well_for
        self.failure = failure

    def chat(self, request: ChatCompletionRequest) -> AsyncIterator[ChatChunk]:
        self.asked += 1
        return super().chat(request) if self.asked <= self.well_for else self._ill()

    async def _ill(self) -> AsyncIterator[ChatChunk]:
        if self.failure is not None:
            raise self.failure
        await asyncio.sleep(60)
        yield ChatChunk(id="never", model="m", choices=[])


class Server:
    """An engine with a server of its own, as far as its worker sees it."""

    def __init__(self) -> None:
        self.concurrency = 1
        self.address = ""
        self.starts = 0
        self.stops = 0
        self.died = asyncio.Event()
        self.said: Vitals | Exception = Vitals()
        self.may_start = True

    async def start(self) -> None:
        if not self.may_start:
            raise EngineFailed(model="m", reason="no room")
        self.starts += 1
        self.address = f"http://127.0.0.1:{9000 + self.starts}"
        self.died.clear()

    async def stop(self) -> None:
        self.stops += 1

    async def vitals(self) -> Vitals:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    async def answer_canary(self) -> None: ...

    async def ended(self) -> str:
        await self.died.wait()
        return "its server was killed"


def hosted(engine: EchoEngine | Server, *, is_local: bool = True) -> HostedModel:
    return HostedModel("m", "chat", engine, 4096, is_local=is_local)


async def test_an_idle_model_is_asked_again_and_again_while_it_answers():
    engine = Moody(well_for=3)

    async with asyncio.timeout(2):
        reason = await sickness(hosted(engine), QUICK)

    assert engine.asked == 4
    assert reason == "it did not answer a tiny request within 0.1 seconds"


async def test_what_the_engine_fails_with_is_named():
    engine = Moody(well_for=0, failure=RuntimeError("CUDA error: device-side assert"))

    async with asyncio.timeout(2):
        assert "CUDA error: device-side assert" in await sickness(hosted(engine), QUICK)


@pytest.mark.parametrize("task", ["embedding", "rerank"])
async def test_embedding_and_rerank_models_are_asked_in_their_own_way(task: str):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await sickness(echo_model("v", task), QUICK)


@pytest.mark.parametrize("why", ["remote", "switched off"])
async def test_nobody_pays_for_canaries_that_are_not_wanted(why: str):
    engine = Moody(well_for=0)
    rules = NO_CANARY if why == "switched off" else QUICK

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.15):
            await sickness(hosted(engine, is_local=why != "remote"), rules)

    assert engine.asked == 0


async def test_a_busy_model_is_not_asked_but_must_get_on():
    engine = Moody(well_for=0)
    model = hosted(engine)

    async def working(steps: int) -> AsyncIterator[int]:
        for step in range(steps):
            await asyncio.sleep(0.03)
            yield step
        await asyncio.sleep(60)

    async def busy() -> None:
        async with model.slots.hold():
            async for _ in model.slots.watch(working(8)):  # type: ignore[arg-type]
                pass

    task = asyncio.create_task(busy())
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(2):
        reason = await sickness(model, QUICK)
    task.cancel()

    assert "1 requests were running without any progress" in reason
    assert asyncio.get_running_loop().time() - began > 0.25, "each item was a sign of progress"
    assert engine.asked == 0


async def test_a_server_that_does_not_say_how_it_is_counts_as_sick_in_the_end():
    server = Server()
    server.said = ServiceUnreachable(service="vLLM", url="http://127.0.0.1:1", reason="refused")

    async with asyncio.timeout(2):
        assert "has not said how it is" in await sickness(hosted(server), NO_CANARY)


async def test_a_dead_server_is_started_again_beneath_its_worker_and_unlisted_meanwhile():
    server = Server()
    hosting = Hosting([hosted(server)], supervisor="http://127.0.0.1:20009")
    seen: list[tuple[list[str], str | None]] = []

    def changed() -> None:
        seen.append((hosting.status().model_names, hosting.server_address))

    await hosting.start(changed)
    keeping = asyncio.create_task(hosting.keep(NO_CANARY, changed))
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    server.died.set()
    async with asyncio.timeout(2):
        while server.starts < 2:
            await asyncio.sleep(0.005)

    first, second = "http://127.0.0.1:9001", "http://127.0.0.1:9002"
    assert seen == [(["m"], first), ([], first), (["m"], second)]
    assert server.stops == 1, "what is left of it is swept away first"
    assert hosting.status().supervisor == "http://127.0.0.1:20009"
    with pytest.raises(NoWorker):
        hosting.find("m", "chat")

    server.may_start = False
    server.died.set()
    async with asyncio.timeout(2):
        assert "no room" in await keeping
    assert hosting.health().status == "starting"


async def test_what_has_no_server_takes_its_process_with_it():
    hosting = Hosting([hosted(Moody(well_for=0)), echo_model("other")])
    await hosting.start(lambda: None)

    async with asyncio.timeout(2):
        assert (await hosting.keep(QUICK, lambda: None)).startswith("m: it did not answer")

    assert hosting.models[0].state is State.UNWELL
    assert hosting.status().model_names == ["other"]
    with pytest.raises(NoWorker):
        hosting.find("m", "chat")


async def test_the_queue_of_a_server_is_what_it_says():
    server = Server()
    server.said = Vitals(running=3, waiting=2)
    hosting = Hosting([hosted(server)])
    await hosting.start(lambda: None)
    await hosting.models[0].look()

    assert hosting.status().queue_length == 5


def test_a_server_shares_its_worker_with_nobody():
    with pytest.raises(InvalidSetting, match=r"models\.served\.m\.worker.*cannot share"):
        Hosting([hosted(Server()), echo_model("other")])
