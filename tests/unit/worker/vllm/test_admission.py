"""Admission in the middleware: places, queue, refusal, and clients that leave while they wait."""

from __future__ import annotations

import asyncio

from services.worker.engines.local.vllm.middleware.admission import Admission, Pulse
from services.worker.engines.local.vllm.middleware.plan import MiddlewarePlan
from tests.unit.worker.vllm.making import Client, FakeVllm, until

CHAT = "/v1/chat/completions"


def client(concurrency: int = 1, waiting_limit: int = 2) -> tuple[Client, asyncio.Event]:
    release = asyncio.Event()
    plan = MiddlewarePlan(model="m", concurrency=concurrency, waiting_limit=waiting_limit)
    return Client(FakeVllm(hold=release), plan), release


async def test_so_many_run_so_many_wait_and_the_next_is_refused():
    asking, release = client()
    async with asyncio.TaskGroup() as tasks:
        for number in range(3):
            tasks.create_task(asking.ask(CHAT, {"number": number}))
            await asyncio.sleep(0.01)
        vitals = await asking.vitals()
        assert (vitals["running"], vitals["waiting"]) == (1, 2)
        refused = await asking.ask(CHAT, {"number": 3})
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert (refused.error["code"], refused.error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
        assert refused.error["chatchat"]["code"] == "model.busy"
        assert refused.error["chatchat"]["facts"] == {"model": "m", "waiting": 2}
        assert asking.vllm.asked == [(CHAT, {"number": 0})]
        release.set()
    assert [fields["number"] for _, fields in asking.vllm.asked] == [0, 1, 2], "first come, first served"
    assert await asking.vitals() == {"running": 0, "waiting": 0, "silent_seconds": 0}


async def test_a_waiting_client_that_leaves_frees_its_place():
    asking, release = client()
    first = asyncio.create_task(asking.ask(CHAT, {"number": 0}))
    await until(lambda: bool(asking.vllm.asked))
    left = asyncio.Event()
    second = asyncio.create_task(asking.ask(CHAT, {"number": 1}, left=left))
    third = asyncio.create_task(asking.ask(CHAT, {"number": 2}))
    await asyncio.sleep(0.01)
    left.set()
    assert (await second).messages == []
    assert (await asking.vitals())["waiting"] == 1
    release.set()
    await asyncio.gather(first, third)
    assert [fields["number"] for _, fields in asking.vllm.asked] == [0, 2]


async def test_a_request_that_is_cut_off_frees_its_place_inside_and_in_the_queue():
    asking, _ = client()
    running = asyncio.create_task(asking.ask(CHAT))
    await until(lambda: bool(asking.vllm.asked))
    waiting = asyncio.create_task(asking.ask(CHAT))
    await asyncio.sleep(0.01)
    for task in (waiting, running):
        task.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    assert await asking.vitals() == {"running": 0, "waiting": 0, "silent_seconds": 0}


async def test_a_turn_that_comes_with_the_departure_goes_to_the_next():
    admission = Admission("m", concurrency=1, waiting_limit=2, pulse=Pulse())
    left = asyncio.Event()

    async def leaving():
        await left.wait()
        return {"type": "http.disconnect"}

    async def staying():
        await asyncio.Event().wait()

    assert await admission.enter(staying)
    second = asyncio.create_task(admission.enter(leaving))
    third = asyncio.create_task(admission.enter(staying))
    await asyncio.sleep(0.01)
    left.set()
    await asyncio.sleep(0)
    admission.leave()
    assert [await second, await third] == [False, True]
    assert (admission.running, admission.waiting) == (1, 0)


async def test_what_needs_no_generation_does_not_queue():
    asking, release = client()
    running = asyncio.create_task(asking.ask(CHAT))
    await until(lambda: bool(asking.vllm.asked))
    asking.vllm.hold = None
    assert (await asking.ask("/health", method="GET")).status == 200
    assert (await asking.ask("/tokenize", {"prompt": "x"})).status == 200
    release.set()
    await running


async def test_silence_is_counted_from_the_last_byte_and_only_while_something_runs():
    now = 100.0
    pulse = Pulse(lambda: now)
    admission = Admission("m", concurrency=2, waiting_limit=0, pulse=pulse)
    now = 200.0
    assert admission.silent_seconds == 0

    async def receive():
        return {"type": "http.disconnect"}

    await admission.enter(receive)
    assert admission.silent_seconds == 0, "the first request begins the count"
    now = 230.0
    await admission.enter(receive)
    assert admission.silent_seconds == 30, "a new request is no progress"
    pulse.at = now
    assert admission.silent_seconds == 0
