"""Config files of well-known families, against figures that are known from elsewhere."""

from __future__ import annotations

import json

import pytest

from services.supervisor.sizing.memory import Batch, Split, cache_bytes_of_sequence, cache_bytes_per_token
from services.supervisor.sizing.models.architecture import parse_architecture, read_architecture
from services.supervisor.sizing.models.weights import count_weights
from tests.unit.supervisor.sizing import making

KIB = 1024
# Billions of parameters as the makers publish them; KiB of cache a token in 16 bits, by hand or from vLLM's own figures
# (Llama-3.1-8B: 58.11 GiB hold 476,016 tokens; Qwen2.5-7B: 58.53 GiB hold 1,096,000).
KNOWN = {
    "Qwen2.5-7B": (making.QWEN25_7B, 7.61, 56),
    "Qwen2.5-14B": (making.QWEN25_14B, 14.7, 192),
    "Qwen2.5-72B": (making.QWEN25_72B, 72.7, 320),
    "Qwen1.5-72B": (making.QWEN15_72B, 72.3, 2560),
    "Qwen3-8B": (making.QWEN3_8B, 8.2, 144),
    "Yi-34B": (making.YI_34B, 34.4, 240),
    "Llama-3-70B": (making.LLAMA3_70B, 70.6, 320),
    "Llama-3.1-8B": (making.LLAMA31_8B, 8.03, 128),
    "Mixtral-8x7B": (making.MIXTRAL, 46.7, 128),
    "DeepSeek-V2-Lite": (making.DEEPSEEK_V2_LITE, 15.7, 30.375),
    "chatglm3-6b": (making.CHATGLM3_6B, 6.24, 28),
}
each_known = pytest.mark.parametrize(("config", "billions", "token_kib"), KNOWN.values(), ids=KNOWN)


@each_known
def test_the_weights_are_counted(config, billions, token_kib):
    counted = count_weights(parse_architecture(config))
    assert (counted.packed + counted.kept) / 1e9 == pytest.approx(billions, rel=0.01)


@each_known
def test_the_cache_of_a_token(config, billions, token_kib):
    shape = parse_architecture(config)
    assert cache_bytes_per_token(shape, Split(), 2) == token_kib * KIB
    assert cache_bytes_per_token(shape, Split(), 1) == token_kib * KIB / 2


def test_figures_that_vllm_printed():
    llama, qwen = parse_architecture(making.LLAMA31_8B), parse_architecture(making.QWEN25_7B)
    assert 58.11 * 2**30 / cache_bytes_per_token(llama, Split(), 2) == pytest.approx(476_016, rel=0.001)
    assert 58.53 * 2**30 / cache_bytes_per_token(qwen, Split(), 2) == pytest.approx(1_096_000, rel=0.001)


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        (making.QWEN25_7B, 32768),
        (making.LLAMA31_8B, 131072),  # llama3 scaling is in max_position_embeddings already
        (making.DEEPSEEK_V2_LITE, 163840),
        ({**making.QWEN25_7B, "rope_scaling": making.DEEPSEEK_V2_LITE["rope_scaling"]}, 163840),
        ({**making.YI_34B, "rope_scaling": {"type": "linear", "factor": 4.0}}, 16384),
        ({**making.YI_34B, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, 4096),
        (making.CHATGLM3_6B, 8192),
        ({**making.YI_34B, "model_max_length": 65536}, 65536),
        ({**making.YI_34B, "model_max_length": 10**30}, 4096),
        ({**making.YI_34B, "max_position_embeddings": None}, None),
    ],
)
def test_the_longest_context(config, longest):
    assert parse_architecture(config).longest_context == longest


@pytest.mark.parametrize(
    ("changes", "full", "windowed"),
    [
        ({}, 60, 0),
        ({"sliding_window": 4096}, 0, 60),
        ({"sliding_window": 4096, "use_sliding_window": False}, 60, 0),
        ({"sliding_window": 1024, "sliding_window_pattern": 6}, 10, 50),
        ({"sliding_window": 4096, "model_type": "gemma2"}, 30, 30),
        ({"sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"] * 30}, 30, 30),
        ({"layer_types": ["linear_attention"] * 45 + ["full_attention"] * 15}, 15, 0),
    ],
)
def test_layers_with_a_window(changes, full, windowed):
    shape = parse_architecture({**making.YI_34B, **changes})
    assert (shape.full_layers, shape.windowed_layers) == (full, windowed)


def test_a_windowed_layer_stops_growing():
    shape = parse_architecture({**making.YI_34B, "sliding_window": 4096, "max_position_embeddings": 10**6})
    batch = Batch(256, 2048)
    long, longer = (cache_bytes_of_sequence(shape, Split(), 2, context, batch) for context in (100_000, 200_000))
    assert long == longer
    assert cache_bytes_of_sequence(shape, Split(), 2, 1024, batch) < long


def test_the_language_model_inside_of_another():
    outer: making.Config = {
        "model_type": "qwen2_5_vl",
        "vision_config": {"hidden_size": 1280},
        "torch_dtype": "bfloat16",
    }
    nested = parse_architecture({**outer, "text_config": making.QWEN25_7B})
    assert (nested.layers, nested.kv_heads, nested.sees_images) == (28, 4, True)


@pytest.mark.parametrize(
    ("quantization", "method", "bits"),
    [
        ({"quant_method": "awq", "bits": 4}, "awq", 4),
        ({"quant_method": "gptq", "bits": 8}, "gptq", 8),
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, "fp8", 8),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}, "bitsandbytes", 4),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes", 8),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 8}}}},
         "compressed-tensors", 8),
        ({"quant_method": "compressed_tensors", "config_groups": {"g": {"weights": {"num_bits": 4}}}},
         "compressed-tensors", 4),
        ({"quant_method": "compressed-tensors", "format": "float-quantized"}, "compressed-tensors", 4),
    ],
)  # fmt: skip
def test_quantisation(quantization, method, bits):
    found = parse_architecture({**making.QWEN25_7B, "quantization_config": quantization}).quantization
    assert found is not None
    assert (found.method, found.bits) == (method, bits)


def test_one_key_value_head_for_all():
    falcon: making.Config = {
        "model_type": "falcon",
        "hidden_size": 4544,
        "num_hidden_layers": 32,
        "num_attention_heads": 71,
    }
    shape = parse_architecture({**falcon, "multi_query": True, "vocab_size": 65024})
    assert (shape.kv_heads, shape.head_dim) == (1, 64)


def test_an_encoder_keeps_no_cache():
    shape = parse_architecture(making.BGE_LARGE)
    assert shape.is_encoder
    assert cache_bytes_per_token(shape, Split(), 2) == 0
    counted = count_weights(shape)
    assert (counted.packed + counted.kept) / 1e6 == pytest.approx(326, rel=0.03)  # as its card says


@pytest.mark.parametrize("key", ["mamba_d_conv", "linear_num_value_heads", "num_kv_shared_layers"])
def test_a_cache_these_formulas_do_not_know(key):
    assert not parse_architecture({**making.YI_34B, key: 4}).has_known_cache
    assert parse_architecture(making.YI_34B).has_known_cache


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"hidden_size": "wide"}', json.dumps({**making.YI_34B, "num_key_value_heads": [1, 2]})]
)
def test_what_is_not_understood_is_not_known(text, tmp_path):
    assert read_architecture(tmp_path) is None
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    assert read_architecture(tmp_path) is None
