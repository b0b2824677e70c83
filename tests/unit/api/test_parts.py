"""Opening and closing a process of the API."""

from __future__ import annotations

import gc
import warnings
from pathlib import Path

from services.api.bootstrap import Replacements, build
from services.foundation.settings.tree import Settings
from tests.fakes.storage import MemoryStorage
from tests.fakes.text_index import MemoryTextIndex
from tests.fakes.vector_store import MemoryStore


async def test_closed_at_once_it_leaves_no_work_unbegun(tmp_path: Path) -> None:
    kept = Replacements(storage=MemoryStorage(), vectors=MemoryStore(), keywords=MemoryTextIndex())
    parts = build(Settings.model_validate({"server": {"data_dir": tmp_path}}), kept)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        await parts.start()
        await parts.stop()
        gc.collect()
    assert [str(one.message) for one in told if "never awaited" in str(one.message)] == []
