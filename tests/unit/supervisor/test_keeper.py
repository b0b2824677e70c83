"""When a process is waited for, given up and started again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import httpx
import pytest

from services.foundation.settings.tree import Server
from services.supervisor.keeper import CannotStart, Keeper, Policy, State, backoff_seconds
from services.supervisor.plan import ProcessSpec
from services.supervisor.process import Process

SPEC = ProcessSpec(
    name="one",
    command=("one",),
    host="127.0.0.1",
    port=1,
    health_url="http://one/healthz",
    required=False,
    description="",
    port_setting="",
)
QUICK = Policy(
    start_timeout_seconds=0.3,
    poll_seconds=0.01,
    watch_seconds=0.01,
    unresponsive_seconds=0.15,
    first_backoff_seconds=0.01,
    longest_backoff_seconds=0.01,
)
READY = httpx.Response(200, json={"status": "ok"})
STARTING = httpx.Response(503, json={"status": "starting", "detail": {"m": "its engine is started again"}})


class FakeProcess:
    """Runs until it is stopped, or until a test ends it."""

    def __init__(self, spec):
        self.spec = spec
        self.pid = 1
        self.tail = ["what it wrote"]
        self.stops = 0
        self._ended = asyncio.Event()
        self.code = -15

    async def start(self):
        self._ended.clear()

    async def wait(self):
        await self._ended.wait()
        return self.code

    async def stop(self, grace_seconds):
        self.stops += 1

    def exit(self, code):
        self.code = code
        self._ended.set()


class Bench:
    """A keeper with a fake process whose health a test sets; None: it does not answer."""

    def __init__(self, spec=SPEC, policy=QUICK, **options):
        self.process = FakeProcess(spec)
        self.health: httpx.Response | None = None
        self.states = []
        self.reasons = []
        self.keeper = Keeper(cast("Process", self.process), policy, self._note, **options)
        self._news = asyncio.Event()

    def _note(self, status):
        self.states.append(status.state)
        self.reasons.append(status.reason and status.reason.render("en"))
        self._news.set()

    def _answer(self, _):
        if self.health is None:
            raise httpx.ConnectError("no answer")
        return httpx.Response(self.health.status_code, content=self.health.content)

    async def __aenter__(self):
        self._client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.keeping = asyncio.create_task(self.keeper.keep(self._client))
        return self

    async def __aexit__(self, *_):
        self.keeping.cancel()
        await asyncio.gather(self.keeping, return_exceptions=True)
        await self._client.aclose()

    async def until(self, state):
        async with asyncio.timeout(5):
            while self.states[-1:] != [state]:
                self._news.clear()
                await self._news.wait()


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0.0), (1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (1000, 30.0)])
def test_back_off_doubles_to_its_limit(failures, seconds):
    assert backoff_seconds(Policy(), failures) == seconds


def test_waits_are_configured():
    policy = Policy.of(Server(start_timeout_seconds=7, stop_grace_seconds=3))
    assert (policy.start_timeout_seconds, policy.stop_grace_seconds) == (7, 3)


async def test_one_that_was_ready_and_says_starting_is_alive():
    async with Bench(policy=replace(QUICK, start_timeout_seconds=60)) as bench:
        bench.health = READY
        await bench.until(State.READY)
        bench.health = STARTING
        await bench.until(State.STARTING)
        assert bench.reasons[-1] == "m: its engine is started again"
        assert not bench.keeper.serves
        await asyncio.sleep(3 * QUICK.unresponsive_seconds)
        assert bench.process.stops == 0
        bench.health = READY
        await bench.until(State.READY)
        assert bench.keeper.serves
        assert bench.keeper.starts == 1


async def test_one_that_says_starting_for_too_long_is_started_again():
    async with Bench() as bench:
        bench.health = READY
        await bench.until(State.READY)
        bench.health = STARTING
        await bench.until(State.DEGRADED)
        assert bench.reasons[-1] == "it was not ready within 0.3 seconds"
        assert bench.process.stops == 1


@pytest.mark.parametrize(
    "silence", [None, httpx.Response(503, text="bad gateway"), httpx.Response(500, json={"status": "starting"})]
)
async def test_one_that_was_ready_and_does_not_answer_is_started_again(silence):
    async with Bench(policy=replace(QUICK, start_timeout_seconds=60)) as bench:
        bench.health = READY
        await bench.until(State.READY)
        bench.health = silence
        await bench.until(State.DEGRADED)
        assert bench.reasons[-1] == "it answered no health check for 0.15 seconds"


async def test_one_that_says_starting_and_then_nothing_is_unresponsive_too():
    async with Bench(policy=replace(QUICK, start_timeout_seconds=60)) as bench:
        bench.health = READY
        await bench.until(State.READY)
        bench.health = STARTING
        await bench.until(State.STARTING)
        bench.health = None
        await bench.until(State.DEGRADED)
        assert "answered no health check" in bench.reasons[-1]


async def test_a_process_may_have_a_start_timeout_of_its_own():
    async with Bench(replace(SPEC, start_timeout_seconds=60)) as bench:
        await asyncio.sleep(2 * QUICK.start_timeout_seconds)
        assert bench.states == [State.STARTING]
        bench.health = READY
        await bench.until(State.READY)


async def test_an_optional_one_is_given_up_only_when_its_attempts_are_counted():
    async with Bench() as bench:
        for starts in range(1, 6):
            while bench.keeper.starts < starts:
                await asyncio.sleep(0.005)
            bench.process.exit(1)
        assert not bench.keeping.done()
    async with Bench(attempts=1) as bench:
        await bench.until(State.STARTING)
        bench.process.exit(3)
        with pytest.raises(CannotStart) as failure:
            await bench.keeping
        assert failure.value.tail == ["what it wrote"]
        assert bench.states == [State.STARTING, State.FAILED]


async def test_one_that_has_served_is_never_given_up():
    async with Bench(attempts=1) as bench:
        bench.health = READY
        await bench.until(State.READY)
        bench.process.exit(2)
        await bench.until(State.DEGRADED)
        await bench.until(State.READY)
        assert bench.keeper.starts == 2
