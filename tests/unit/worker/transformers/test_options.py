"""The options of the transformers engine: 0.2.x's names, and what to do about those that are gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.foundation.errors import InvalidSetting, MissingPackage
from services.worker.engines.base import ChatEngine, Engine, TokenizingEngine
from services.worker.engines.local.transformers.engine import TransformersEngine
from services.worker.engines.local.transformers.loading import load_model, size_bytes
from services.worker.engines.local.transformers.options import REMOVED, read_transformers_options
from tests.contract.engine import spec


def test_the_names_of_0_2_x_are_taken():
    given = {
        "path": "chatglm3-6b",
        "device": "cuda",
        "num_gpus": 2,
        "max_gpu_memory": "22GiB",
        "load_8bit": True,
        "cpu_offloading": True,
        "limit_worker_concurrency": 5,
        "stream_interval": 2,
    }

    options = read_transformers_options(spec(**given))

    assert options.model_dump(include=set(given)) == given


@pytest.mark.parametrize("name", REMOVED)
def test_a_name_that_is_gone_says_what_to_do(name: str):
    with pytest.raises(InvalidSetting) as refused:
        TransformersEngine(spec(path="m", **{name: None}))

    assert refused.value.facts["setting"] == f"models.served.model-under-test.options.{name}"
    assert REMOVED[name] in str(refused.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "path"),
        ({"path": "m", "unheard_of": 1}, "unheard_of"),
        ({"path": "m", "device": "tpu"}, "device"),
        ({"path": "m", "max_gpu_memory": "22"}, "max_gpu_memory"),
        ({"path": "m", "load_8bit": True, "load_4bit": True}, "load_4bit"),
        ({"path": "m", "limit_worker_concurrency": 0}, "limit_worker_concurrency"),
    ],
)
def test_a_mistake_is_named(options: dict[str, object], named: str):
    with pytest.raises(InvalidSetting) as refused:
        TransformersEngine(spec(**options))

    assert refused.value.facts["setting"] == f"models.served.model-under-test.options.{named}"


def test_no_more_gpus_than_the_replica_has():
    with pytest.raises(InvalidSetting, match="this replica has 1"):
        TransformersEngine(replace(spec(path="m", num_gpus=2), gpus=("3",)))


@pytest.mark.parametrize("options", [{"load_8bit": True}, {"load_4bit": True}])
def test_quantising_needs_a_package(options: dict[str, object]):
    chosen = spec(path="m", **options)

    with pytest.raises(MissingPackage, match="bitsandbytes"):
        load_model(chosen, read_transformers_options(chosen))


def test_spreading_over_gpus_needs_a_package():
    chosen = spec(path="m", num_gpus=2)

    with pytest.raises(MissingPackage, match="accelerate"):
        load_model(chosen, read_transformers_options(chosen))


def test_an_absent_template_is_named():
    chosen = spec(path="m", chat_template="/nowhere/template.jinja")

    with pytest.raises(InvalidSetting, match="chat_template"):
        load_model(chosen, read_transformers_options(chosen))


@pytest.mark.parametrize(
    ("text", "size"), [("22GiB", 22 * 2**30), ("500MB", 500e6), ("1.5GB", 1.5e9), ("80MiB", 80 * 2**20)]
)
def test_sizes_are_read(text: str, size: float):
    assert size_bytes(text) == size


def test_it_is_a_chat_engine_that_counts():
    engine = TransformersEngine(spec(path="m", limit_worker_concurrency=3))

    assert isinstance(engine, Engine)
    assert isinstance(engine, ChatEngine)
    assert isinstance(engine, TokenizingEngine)
    assert engine.concurrency == 3
