"""Weights: measured to the byte, counted within a percent, guessed as 0.2.x published."""

from __future__ import annotations

import json

import pytest

from services.supervisor.sizing.models.architecture import parse_architecture
from services.supervisor.sizing.models.weights import count_weights, guess_weights, measure_weights
from tests.unit.supervisor.sizing import making
from tests.unit.supervisor.sizing.making import tensors_of, write_model, write_safetensors

TINY = {**making.QWEN3_8B, "num_hidden_layers": 2, "vocab_size": 1000}
# What 0.2.x published as the GB of GPU memory a model needs in 16 bits. For int4 it said 0.75 GB a billion.
PUBLISHED = {
    "Qwen1.5-7B-Chat": (making.QWEN15_7B, 7, 14),
    "Qwen1.5-14B-Chat": (making.QWEN15_14B, 14, 30),
    "Yi-34B-Chat": (making.YI_34B, 34, 69),
    "Qwen1.5-72B-Chat": (making.QWEN15_72B, 72, 145),
}
TOLERANCE = 0.12  # "7B" means 7.7 billion parameters for Qwen1.5 and 6.7 for Llama-2
INT4_TOLERANCE = 0.25  # the rule leaves room for embeddings that stay in 16 bits: more of a 7B than of a 72B
each_published = pytest.mark.parametrize(
    ("name", "config", "billions", "gb"), [(name, *known) for name, known in PUBLISHED.items()]
)


@each_published
def test_the_published_table(name, config, billions, gb):
    counted = count_weights(parse_architecture(config)).bytes_in_memory(2) / 1e9
    assert counted == pytest.approx(gb, rel=TOLERANCE)
    guessed = guess_weights(name)
    assert guessed is not None
    assert guessed.bytes_in_memory(2) / 1e9 == pytest.approx(gb, rel=TOLERANCE)


@each_published
def test_the_published_rule_for_int4(name, config, billions, gb):
    guessed = guess_weights(f"{name}-Int4")
    assert guessed is not None
    assert guessed.bytes_in_memory(2) / 1e9 == pytest.approx(billions * 0.75)
    counted = count_weights(parse_architecture({**config, **making.AWQ})).bytes_in_memory(2) / 1e9
    assert counted == pytest.approx(billions * 0.75, rel=INT4_TOLERANCE)


@pytest.mark.parametrize(
    ("config", "gib"),
    [
        (making.LLAMA31_8B, 14.99),
        (making.QWEN25_7B, 14.25),
        ({**making.QWEN25_7B, **making.AWQ}, 5.20),
        ({**making.QWEN25_14B, "num_hidden_layers": 64, "intermediate_size": 27648}, 61.4),  # Qwen2.5-32B
    ],
)
def test_what_vllm_printed_when_it_had_loaded_them(config, gib):
    counted = count_weights(parse_architecture(config))
    assert counted.bytes_in_memory(2) / 2**30 == pytest.approx(gib, rel=0.015)


def test_tensors_are_measured_exactly(tmp_path):
    weights = measure_weights(write_model(tmp_path / "m", TINY), is_tied=False)
    assert weights is not None
    parameters = 2 * (2 * 4096 * 128 * 40 + 3 * 4096 * 12288 + 2 * 4096) + 2 * 1000 * 4096 + 4096
    assert weights.bytes_in_memory(2) == 2 * parameters
    assert weights.bytes_in_memory(4) == 4 * parameters
    assert weights.kept == 2 * 1000 * 4096 + 5 * 4096
    assert (weights.files, weights.faults) == (1, ())


def test_a_stored_copy_of_the_embedding_is_not_loaded(tmp_path):
    folder = write_model(tmp_path / "m", TINY)
    whole, tied = (measure_weights(folder, is_tied=is_tied) for is_tied in (False, True))
    assert whole is not None
    assert tied is not None
    assert whole.bytes_in_memory(2) - tied.bytes_in_memory(2) == 2 * 1000 * 4096


def test_packed_tensors_keep_their_size_and_embeddings_are_not_quantised(tmp_path):
    write_safetensors(
        tmp_path / "model.safetensors",
        {
            "model.layers.0.mlp.up_proj.qweight": ("I32", (1024, 512)),
            "model.layers.0.mlp.up_proj.scales": ("F16", (8, 4096)),
            "model.layers.0.self_attn.o_proj.weight": ("F8_E4M3", (1024, 1024)),
            "model.embed_tokens.weight": ("BF16", (1000, 1024)),
        },
    )
    weights = measure_weights(tmp_path, is_tied=True)
    assert weights is not None
    assert weights.fixed_bytes == 4 * 1024 * 512 + 1024 * 1024
    assert weights.bytes_in_memory(2) == weights.fixed_bytes + 2 * (8 * 4096 + 1000 * 1024)
    assert weights.bytes_in_memory(2, 8.0) == weights.fixed_bytes + 8 * 4096 + 2 * 1000 * 1024


def test_several_files_and_a_second_layout(tmp_path):
    tensors = tensors_of(TINY)
    first = dict(list(tensors.items())[:5])
    second = {name: entry for name, entry in tensors.items() if name not in first}
    write_safetensors(tmp_path / "model-00001-of-00002.safetensors", first)
    write_safetensors(tmp_path / "model-00002-of-00002.safetensors", second)
    write_safetensors(tmp_path / "consolidated.safetensors", tensors)
    whole = write_safetensors(tmp_path / "other" / "model.safetensors", tensors)
    expected = measure_weights(whole.parent, is_tied=False)
    assert expected is not None
    without_index = measure_weights(tmp_path, is_tied=False)
    assert without_index is not None
    assert (without_index.files, without_index.bytes_in_memory(2)) == (2, expected.bytes_in_memory(2))
    names = {name: f"model-0000{1 if name in first else 2}-of-00002.safetensors" for name in tensors}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": names}), encoding="utf-8")
    assert measure_weights(tmp_path, is_tied=False) == without_index
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    faulty = measure_weights(tmp_path, is_tied=False)
    assert faulty is not None
    assert faulty.faults == ("model-00002-of-00002.safetensors",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3945426872\n",
        (9).to_bytes(8, "little") + b"not json!",
        (2).to_bytes(8, "little") + b"[]",
        (17).to_bytes(8, "little") + b'{"t": {"no": "1"}}',
    ],
)
def test_a_file_that_is_no_safetensors_file_is_a_fault(content, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(content)
    weights = measure_weights(tmp_path, is_tied=False)
    assert weights is not None
    assert weights.faults == ("model.safetensors",)


def test_a_torn_copy_is_a_fault(tmp_path):
    write_safetensors(tmp_path / "model.safetensors", tensors_of(TINY), lacking=1)
    weights = measure_weights(tmp_path, is_tied=False)
    assert weights is not None
    assert weights.faults == ("model.safetensors",)


def test_no_weights_and_a_single_file(tmp_path):
    assert measure_weights(tmp_path, is_tied=False) is None
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF" * 100)
    weights = measure_weights(file, is_tied=False)
    assert weights is not None
    assert weights.bytes_in_memory(2) == 400


@pytest.mark.parametrize(
    ("name", "gb"),
    [
        ("Qwen2.5-7B-Instruct", 14),
        ("Qwen-1_8B-Chat", 3.6),
        ("Qwen2.5-0.5B", 1),
        ("chatglm3-6b-32k", 12),
        ("qwen2.5-72b-instruct-awq", 54),
        ("DeepSeek-R1-Distill-Qwen-32B-GPTQ-Int4", 24),
        ("Qwen2-7B-Instruct-GPTQ-Int8", 7),
        ("Meta-Llama-3.1-70B-Instruct-FP8", 70),
        ("Qwen3-30B-A3B", 60),
        ("Mixtral-8x7B-Instruct-v0.1", 93),
    ],
)
def test_what_a_name_tells(name, gb):
    guessed = guess_weights(name)
    assert guessed is not None
    assert guessed.bytes_in_memory(2) / 1e9 == pytest.approx(gb, rel=0.01)


@pytest.mark.parametrize(
    "name", ["bge-large-zh-v1.5", "chat", "Qwen1.5-MoE-A2.7B", "gpt2-xl", "llama-7bit", "m3e-base"]
)
def test_what_a_name_does_not_tell(name):
    assert guess_weights(name) is None
