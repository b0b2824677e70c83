"""The thread that serves many callers: shared batches, no waiting, cancellation, too little memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from services.foundation.errors import EngineFailed, NoWorker, OutOfMemory
from services.worker.engines.local.batching import MicroBatcher, estimated_tokens
from services.worker.engines.local.work_queue import BatchLimits, Work


class Model:
    """Writes texts in capitals; can be held up, and has room for so many texts at a time."""

    def __init__(self, room: int = 1000) -> None:
        self.batches: list[list[str]] = []
        self.room = room
        self.gate = threading.Event()
        self.gate.set()

    def run(self, kind: str, batch: Sequence[str]) -> list[str]:
        assert self.gate.wait(5)
        self.batches.append(list(batch))
        if len(batch) > self.room or "huge" in batch:
            raise OutOfMemory(model="m", reason="no room")
        if "bad" in batch:
            raise EngineFailed(model="m", reason="it stumbled")
        return [kind + text.upper() for text in batch]


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
async def batcher(model: Model) -> AsyncIterator[MicroBatcher[str, str]]:
    made = MicroBatcher[str, str]("m", model.run, BatchLimits(texts=8, tokens=1000))
    yield made
    model.gate.set()
    made.stop()


def works(*texts: str) -> list[Work[str]]:
    return [Work(text, 10) for text in texts]


async def test_callers_who_come_while_the_thread_is_busy_share_the_next_batch(model: Model, batcher):
    model.gate.clear()
    first = asyncio.create_task(batcher.submit(works("first")))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(batcher.submit(works(str(number)))) for number in range(8)]
    await asyncio.sleep(0.01)
    model.gate.set()

    assert await first == ["FIRST"]
    assert [await other for other in others] == [[str(number)] for number in range(8)]
    assert model.batches == [["first"], [str(number) for number in range(8)]]


async def test_a_lone_text_waits_for_nobody(model: Model, batcher):
    assert await batcher.submit(works("a")) == ["A"]
    assert await batcher.submit(works("b"), kind="query ") == ["query B"]
    assert model.batches == [["a"], ["b"]]


async def test_nothing_asked_nothing_run(model: Model, batcher):
    assert await batcher.submit([]) == []
    assert model.batches == []


async def test_the_texts_of_a_caller_who_left_are_not_run(model: Model, batcher):
    model.gate.clear()
    busy = asyncio.create_task(batcher.submit(works("busy")))
    await asyncio.sleep(0.01)
    leaving = asyncio.create_task(batcher.submit(works(*"abcdef")))
    staying = asyncio.create_task(batcher.submit(works("x")))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    model.gate.set()

    assert (await busy, await staying) == (["BUSY"], ["X"])
    assert model.batches == [["busy"], ["x"]]


async def test_an_upload_whose_caller_leaves_ends_after_the_batch_in_progress(model: Model, batcher):
    model.gate.clear()
    upload = asyncio.create_task(batcher.submit(works(*map(str, range(100)))))
    await asyncio.sleep(0.01)
    upload.cancel()
    await asyncio.gather(upload, return_exceptions=True)
    model.gate.set()

    assert await batcher.submit(works("next")) == ["NEXT"]
    assert len(model.batches) == 2


async def test_a_batch_that_does_not_fit_is_halved_and_the_next_ones_are_smaller(model: Model, batcher):
    model.room = 3

    assert await batcher.submit(works(*"abcdefgh")) == list("ABCDEFGH")
    assert [len(batch) for batch in model.batches] == [8, 4, 2, 2, 4, 2, 2]

    model.batches.clear()
    assert await batcher.submit(works(*"abcdefgh")) == list("ABCDEFGH")
    assert max(len(batch) for batch in model.batches) <= 3


async def test_after_a_shortage_the_batches_grow_again(model: Model, batcher):
    model.room = 3
    await batcher.submit(works(*"abcdefgh"))
    model.room = 1000

    for _ in range(40):
        await batcher.submit(works("a"))
    model.batches.clear()
    await batcher.submit(works(*"abcdefgh"))

    assert [len(batch) for batch in model.batches] == [8]


async def test_a_text_that_does_not_fit_alone_fails_its_own_request_only(model: Model, batcher):
    model.gate.clear()
    busy = asyncio.create_task(batcher.submit(works("busy")))
    await asyncio.sleep(0.01)
    both = asyncio.gather(
        batcher.submit(works("huge", "small")), batcher.submit(works("other")), return_exceptions=True
    )
    await asyncio.sleep(0.01)
    model.gate.set()

    await busy
    failed, fine = await both
    assert isinstance(failed, OutOfMemory)
    assert fine == ["OTHER"]


async def test_a_failure_reaches_the_caller_and_the_thread_goes_on(batcher):
    with pytest.raises(EngineFailed, match="stumbled"):
        await batcher.submit(works("bad"))
    assert await batcher.submit(works("good")) == ["GOOD"]


async def test_a_model_that_loses_a_text_fails_instead_of_hanging():
    batcher = MicroBatcher[str, str]("m", lambda _, batch: list(batch)[1:], BatchLimits(texts=8, tokens=1000))
    async with asyncio.timeout(5):
        with pytest.raises(ValueError, match="zip"):
            await batcher.submit(works("a", "b"))
    batcher.stop()


async def test_stopping_fails_what_waits(model: Model, batcher):
    model.gate.clear()
    busy = asyncio.create_task(batcher.submit(works("busy")))
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(batcher.submit(works("waiting")))
    await asyncio.sleep(0.01)

    batcher.stop()
    with pytest.raises(NoWorker):
        await waiting
    with pytest.raises(NoWorker):
        await batcher.submit(works("late"))
    model.gate.set()
    assert await busy == ["BUSY"]


async def test_other_work_is_done_in_the_same_thread(model: Model, batcher):
    names = {await batcher.call(lambda: threading.current_thread().name) for _ in range(3)}

    assert len(names) == 1
    assert "model-m" in names.pop()


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("", 1, 4), ("港口位于老城的北面", 9, 14), ("the harbour of the old town", 6, 14), ("long " * 9999, 256, 256)],
)
def test_estimates_are_near_and_not_above_the_limit(text: str, least: int, most: int):
    assert least <= estimated_tokens(text, 256) <= most
