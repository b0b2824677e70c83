"""The formulas against what vLLM measured of itself, and among themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.supervisor.sizing.machine.hardware import GIB
from services.supervisor.sizing.memory import (
    Batch,
    Split,
    activation_bytes,
    cache_bytes_of_sequence,
    cache_bytes_per_token,
    default_batch,
    longest_context_in,
    vllm_reserve_bytes,
)
from services.supervisor.sizing.models.architecture import parse_architecture
from tests.unit.supervisor.sizing import making

H100_BATCH = Batch(1024, 8192)
GEMMA_7B: making.Config = {**making.QWEN3_8B, "hidden_size": 3072, "intermediate_size": 24576, "vocab_size": 256000}
PHI_4: making.Config = {**making.QWEN25_14B, "vocab_size": 100352, "intermediate_size": 17920}
CODELLAMA_7B: making.Config = {**making.YI_34B, "hidden_size": 4096, "intermediate_size": 11008, "vocab_size": 32016}
QWEN3_30B_A3B: making.Config = {**making.QWEN3_8B, "hidden_size": 2048, "intermediate_size": 6144, "num_experts": 128}
# llm-d's report: peak activations of vLLM 0.19 on an H100, where it takes 1024 sequences and 8192 tokens at a time.
MEASURED_GIB = {
    "Llama-3.1-8B": (making.LLAMA31_8B, 1.89),
    "Qwen2.5-7B": (making.QWEN25_7B, 2.21),
    "gemma-7b": (GEMMA_7B, 3.63),
    "phi-4": (PHI_4, 1.52),
    "CodeLlama-7b": (CODELLAMA_7B, 0.77),
    "Qwen3-30B-A3B": (QWEN3_30B_A3B, 2.68),
}
SHAPES = st.sampled_from(
    [parse_architecture(config) for config in (making.QWEN3_8B, making.DEEPSEEK_V2_LITE, making.MIXTRAL)]
    + [parse_architecture({**making.YI_34B, "sliding_window": 4096})]
)
SPLITS = st.builds(Split, st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 3]))


@pytest.mark.parametrize(("config", "gib"), MEASURED_GIB.values(), ids=MEASURED_GIB)
def test_activations_as_measured(config, gib):
    assert activation_bytes(parse_architecture(config), Split(), H100_BATCH) / GIB == pytest.approx(gib, rel=0.15)


def test_what_vllm_printed_for_the_tiny_model_of_the_tests():
    """vLLM 0.32 for CPUs with --kv-cache-memory-bytes 256M: 524,288 tokens, 512 requests of 1024."""
    tiny = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    shape = parse_architecture({**making.QWEN25_7B, **tiny})
    assert 2**28 / cache_bytes_per_token(shape, Split(), 2) == 524_288
    assert 2**28 / cache_bytes_of_sequence(shape, Split(), 2, 1024, default_batch(None)) == 512


def test_a_cut_layer_costs_buffers_and_eager_saves_graphs():
    shape, batch = parse_architecture(making.QWEN25_7B), Batch(256, 2048)
    one, two = (vllm_reserve_bytes(shape, Split(size), batch, is_eager=False) for size in (1, 2))
    assert two > one
    assert vllm_reserve_bytes(shape, Split(), batch, is_eager=True) < one


@pytest.mark.parametrize(
    ("machine", "batch"),
    [(making.H100, H100_BATCH), (making.TWO_A100, Batch(256, 2048)), (making.L40, Batch(256, 2048))],
)
def test_batches_by_the_gpu(machine, batch):
    assert default_batch(machine.gpus[0]) == batch


def test_a_batch_of_the_largest_gpus_and_of_a_processor():
    assert default_batch(making.gpus(1, 183359, "NVIDIA B200")[0]) == Batch(1024, 16384)
    assert default_batch(None).sequences == 128


def test_heads_are_divided_among_the_parts_but_never_below_one():
    shape = parse_architecture(making.QWEN25_7B)  # 4 key-value heads
    sizes = [cache_bytes_per_token(shape, Split(tensor), 2) for tensor in (1, 2, 4, 7)]
    assert sizes == [57344, 28672, 14336, 14336]


def test_latent_attention_keeps_the_whole_in_every_part():
    shape = parse_architecture(making.DEEPSEEK_V2_LITE)
    assert cache_bytes_per_token(shape, Split(8), 2) == cache_bytes_per_token(shape, Split(), 2) == 27 * 576 * 2


def test_stages_share_out_the_layers():
    shape = parse_architecture(making.QWEN25_7B)
    assert cache_bytes_per_token(shape, Split(1, 4), 2) == 57344 / 4


def test_blocks_are_handed_out_whole():
    shape, batch = parse_architecture(making.QWEN25_7B), Batch(256, 2048)
    assert cache_bytes_of_sequence(shape, Split(), 2, 1, batch) == 16 * 57344
    assert cache_bytes_of_sequence(shape, Split(), 2, 17, batch) == 32 * 57344


@given(SHAPES, SPLITS, st.floats(0, 200), st.integers(1, 160_000))
def test_the_longest_context_fits_and_the_next_block_does_not(shape, split, room_gib, context):
    batch, room = Batch(256, 2048), room_gib * GIB
    longest = longest_context_in(room, shape, split, 2, batch)
    assert longest <= (shape.longest_context or longest)
    if longest:
        assert cache_bytes_of_sequence(shape, split, 2, longest, batch) <= room
    if shape.longest_context is None or longest + 16 <= shape.longest_context:
        assert cache_bytes_of_sequence(shape, split, 2, longest + 16, batch) > room
    fits = cache_bytes_of_sequence(shape, split, 2, context, batch) <= room
    assert fits == (context <= longest) or context > (shape.longest_context or context)


@given(SHAPES, SPLITS, st.integers(1, 100_000), st.integers(0, 100_000))
def test_a_longer_sequence_never_takes_less(shape, split, context, more):
    batch = Batch(256, 2048)
    shorter = cache_bytes_of_sequence(shape, split, 2, context, batch)
    assert shorter <= cache_bytes_of_sequence(shape, split, 2, context + more, batch)
    assert cache_bytes_of_sequence(shape, Split(2 * split.tensor, split.pipeline), 2, context, batch) <= shorter
