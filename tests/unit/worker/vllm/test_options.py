"""Options of the vllm engine: by the names of 0.2.x, what is gone named with what to do, contradictions refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from services.foundation.errors import InvalidSetting
from services.worker.engines import ENGINES
from services.worker.engines.base import Engine, ServerEngine
from services.worker.engines.local.vllm.options import VllmOptions, gpus_per_stage, read_vllm_options
from services.worker.engines.local.vllm.removed import REMOVED
from tests.unit.worker.vllm.making import spec

OF_0_2_10: dict[str, Any] = {
    "tokenizer": "other",
    "tokenizer_mode": "auto",
    "trust_remote_code": True,
    "load_format": "auto",
    "dtype": "auto",
    "seed": 0,
    "worker_use_ray": False,
    "pipeline_parallel_size": 1,
    "tensor_parallel_size": 1,
    "block_size": 16,
    "gpu_memory_utilization": 0.9,
    "max_num_batched_tokens": None,
    "max_num_seqs": 256,
    "disable_log_stats": False,
    "conv_template": None,
    "limit_worker_concurrency": 5,
    "num_gpus": 1,
    "max_model_len": None,
    "revision": None,
    "quantization": None,
    "max_log_len": None,
    "tokenizer_revision": None,
}


def test_the_settings_of_0_2_10_are_taken_by_their_names():
    options = read_vllm_options(spec(**OF_0_2_10))
    assert (options.concurrency, options.block_size, options.trust_remote_code) == (5, 16, True)
    assert all(field.description for field in VllmOptions.model_fields.values())


@pytest.mark.parametrize("name", sorted(REMOVED))
def test_what_is_gone_is_refused_with_the_remedy(name: str):
    assert name not in VllmOptions.model_fields
    with pytest.raises(InvalidSetting, match=f"models.served.m.options.{name}") as refused:
        read_vllm_options(dataclasses.replace(spec(), options={"path": "weights", name: 1}))
    assert REMOVED[name] in str(refused.value)


@pytest.mark.parametrize("name", ["max_paddings", "engine_use_ray", "disable_log_requests", "swap_space"])
def test_the_names_operators_still_have_are_in_the_table(name: str):
    assert name in REMOVED


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"max_model_len": 2048}, "context_tokens of the model's entry says 4096"),
        ({"gpu_memory_utilization": 1.5}, "gpu_memory_utilization"),
        ({"kv_cache_memory_bytes": "much"}, "kv_cache_memory_bytes"),
        ({"no_such": 1}, "no_such"),
        ({"dtype": "int3"}, "dtype"),
    ],
)
def test_a_wrong_value_is_named(options: dict[str, Any], sentence: str):
    with pytest.raises(InvalidSetting, match=sentence):
        read_vllm_options(spec(**options))


def test_the_same_length_twice_is_one_length():
    assert read_vllm_options(spec(max_model_len=4096)).max_model_len == 4096


@pytest.mark.parametrize(
    ("gpus", "options", "expected"),
    [
        ((), {}, 1),
        ((), {"num_gpus": 4}, 4),
        ((), {"num_gpus": 4, "pipeline_parallel_size": 2}, 2),
        (("0", "1"), {}, 2),
        (("0", "1"), {"num_gpus": 1}, 1),
        (("0", "1"), {"tensor_parallel_size": 2, "num_gpus": 1}, 2),
    ],
)
def test_tensor_parallel_is_raised_to_the_gpus(gpus: tuple[str, ...], options: dict[str, Any], expected: int):
    asked = spec(gpus=gpus, **options)
    assert gpus_per_stage(asked, read_vllm_options(asked)) == expected


@pytest.mark.parametrize(
    ("gpus", "options", "name"),
    [
        (("0",), {"num_gpus": 2}, "num_gpus"),
        (("0", "1"), {"tensor_parallel_size": 4}, "tensor_parallel_size"),
        (("0", "1"), {"tensor_parallel_size": 2, "pipeline_parallel_size": 2}, "tensor_parallel_size"),
    ],
)
def test_more_gpus_than_the_entry_has_are_refused(gpus: tuple[str, ...], options: dict[str, Any], name: str):
    with pytest.raises(InvalidSetting, match=f"options.{name}"):
        read_vllm_options(spec(gpus=gpus, **options))


def test_an_address_nobody_can_call_is_refused():
    with pytest.raises(InvalidSetting, match="public_url"):
        read_vllm_options(spec(host="0.0.0.0"))  # noqa: S104
    read_vllm_options(spec(host="0.0.0.0", public_url="http://gpu-1:9000"))  # noqa: S104


def test_the_requests_inside_default_to_the_sequences():
    assert read_vllm_options(spec(max_num_seqs=512)).concurrency == 512
    assert read_vllm_options(spec(max_num_seqs=512, limit_worker_concurrency=300)).concurrency == 300


def test_yaml_reads_off_as_false():
    assert read_vllm_options(spec(instructions=False)).instructions == "off"


async def test_the_engine_is_on_the_shelf_and_loads_nothing_when_made():
    engine = ENGINES.build("vllm", spec())
    assert isinstance(engine, Engine)
    assert isinstance(engine, ServerEngine)
    assert engine.address == ""
    assert await engine.ended() == "vLLM's server is not running"
    await engine.stop()


async def test_without_vllm_it_says_how_to_get_it(tmp_path):
    engine = ENGINES.build("vllm", spec(python=str(tmp_path / "absent")))
    with pytest.raises(InvalidSetting, match="make vllm-gpu"):
        await engine.start()


def test_an_unknown_conversation_template_is_said_at_once():
    with pytest.raises(InvalidSetting, match="FastChat has no conversation template 'absent'"):
        ENGINES.build("vllm", spec(conv_template="absent"))
