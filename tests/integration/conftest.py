"""The API over fakes, for the tests that ask it over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.api_bench import ApiBench, api_bench, settings_for


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiBench]:
    """The API with all its stores in memory."""
    async with api_bench(settings_for(tmp_path)) as bench:
        yield bench


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[ApiBench]:
    """The API over real SQLite."""
    async with api_bench(settings_for(tmp_path), sqlite=True) as bench:
        yield bench
