"""What the tests of the knowledge room share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.api.knowledge.workbench import Workbench, workbench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Workbench]:
    """The room over fakes, with one empty base and an indexer at work."""
    made = workbench(tmp_path)
    await made.create()
    made.start()
    yield made
    await made.stop()
