"""The stage and the shelter as fixtures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.attacks.shelter import Shelter, shelter
from tests.integration.attacks.stage import Service, stage


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[dict[str, Service]]:
    async with stage(tmp_path) as running:
        yield running


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Shelter]:
    """The api; when the test is over nothing outside its data folder may have changed."""
    async with shelter(tmp_path) as running:
        before = running.surroundings()
        yield running
        assert running.surroundings() == before
