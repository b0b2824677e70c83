"""What the tests of the knowledge room share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.api.knowledge.workbench import Workbench, workbench


@pytest.fixture
async def bench(tmp_path: Path) -> Workbench:
    """The room over fakes, with one empty base."""
    made = workbench(tmp_path)
    await made.create()
    return made
