"""What can be said of the reranker without loading torch."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from services.foundation.errors import InvalidSetting, NoWorker
from services.wire.openai import RerankRequest
from services.worker.engines.local.cross_encoder import CrossEncoderEngine
from tests.contract.engine import spec


async def test_before_it_has_started():
    engine = CrossEncoderEngine(spec(path="bge-reranker-base"))

    with pytest.raises(NoWorker):
        await engine.rerank(RerankRequest(model="m", query="q", documents=["d"]))
    await engine.stop()


def test_it_admits_as_many_requests_as_fill_batches():
    assert CrossEncoderEngine(spec(path="x")).concurrency == 64
    assert CrossEncoderEngine(spec(path="x", limit_worker_concurrency=5)).concurrency == 5


@pytest.mark.parametrize(
    "options",
    [{}, {"path": "x", "max_length": 8}, {"path": "x", "device": "gpu"}, {"path": "x", "instructions": "off"}],
)
def test_wrong_options(options: dict[str, object]):
    with pytest.raises(InvalidSetting):
        CrossEncoderEngine(spec(**options))


async def test_a_missing_folder_is_named_with_the_remedy(tmp_path: Path):
    engine = CrossEncoderEngine(dataclasses.replace(spec(path="bge-reranker-base"), model_dir=tmp_path))

    with pytest.raises(InvalidSetting, match=r"bge-reranker-base.*put the model's files"):
        await engine.start()
    await engine.stop()


async def test_a_generating_reranker_without_its_prompt_is_refused(tmp_path: Path):
    folder = tmp_path / "Qwen3-Reranker-0.6B"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}))
    (folder / "tokenizer.json").write_text("{}")
    header = b"{}"
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    engine = CrossEncoderEngine(spec(path=str(folder)))

    with pytest.raises(InvalidSetting, match="serve it with the vllm engine") as refused:
        await engine.start()

    assert refused.value.facts["setting"] == "models.served.model-under-test.options.path"
    await engine.stop()
