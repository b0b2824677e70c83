"""When a check is due, and what a failed one leaves behind."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest

from services.api.knowledge.schedule import MARKER, InspectionSchedule
from tests.unit.api.knowledge.workbench import BASE, FILE, Workbench

DAY = timedelta(hours=24)


async def looked(bench: Workbench, period: timedelta = DAY) -> None:
    """Have the schedule look for a moment."""
    keeping = asyncio.create_task(InspectionSchedule(bench.inspection, bench.root, period, look_seconds=0.01).keep())
    await asyncio.sleep(0.15)
    assert not keeping.done()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


def mark(bench: Workbench, ago: timedelta) -> None:
    (bench.root / MARKER).write_text((datetime.now(UTC) - ago).isoformat(), encoding="ascii")


def age(bench: Workbench) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat((bench.root / MARKER).read_text(encoding="ascii"))


@pytest.fixture
async def torn(bench: Workbench) -> Workbench:
    """A base whose vectors are lost."""
    await bench.add("年假 五天")
    await bench.indexes.vectors.drop((await bench.service.get(BASE)).id)
    return bench


async def vectors(bench: Workbench) -> int:
    return len((await bench.indexed())[1])


@pytest.mark.parametrize("text", [None, "yesterday", "2024-01-01T00:00:00"])
async def test_at_the_first_start_nothing_is_checked_and_the_period_begins(torn: Workbench, text: str | None):
    if text is not None:
        (torn.root / MARKER).write_text(text, encoding="ascii")
    await looked(torn)
    assert await vectors(torn) == 0
    assert age(torn) < timedelta(minutes=1)


async def test_a_check_whose_time_has_come_is_made_once(torn: Workbench, caplog: pytest.LogCaptureFixture):
    mark(torn, timedelta(hours=25))
    with caplog.at_level(logging.INFO, logger="services.api.knowledge.schedule"):
        await looked(torn)
    assert await vectors(torn) == 1
    assert age(torn) < timedelta(minutes=1)
    said = [record.getMessage() for record in caplog.records]
    assert said.count("the consistency check begins") == 1
    assert any("repaired: 1 chunks had no vector" in line for line in said)


@pytest.mark.parametrize("ago", [timedelta(hours=23), timedelta(hours=-5)])
async def test_before_its_time_nothing_is_checked(torn: Workbench, ago: timedelta):
    mark(torn, ago)
    await looked(torn)
    assert await vectors(torn) == 0


async def test_what_needs_a_person_is_a_warning(torn: Workbench, caplog: pytest.LogCaptureFixture):
    mark(torn, timedelta(hours=25))
    torn.folders.remove(BASE, FILE)
    await looked(torn)
    assert any(FILE.value in record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)


@pytest.mark.parametrize("period", [None, DAY])
async def test_an_empty_keyword_index_is_filled_at_the_start(bench: Workbench, period: timedelta | None):
    await bench.add("年假 五天")
    base = (await bench.service.get(BASE)).id
    before = await bench.indexes.keywords.ids(base)
    await bench.indexes.keywords.drop(base)
    schedule = InspectionSchedule(bench.inspection, bench.root, period, look_seconds=0.01)
    keeping = asyncio.create_task(schedule.keep())
    await asyncio.sleep(0.15)
    assert keeping.done() is (period is None)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert await bench.indexes.keywords.ids(base) == before != set()
