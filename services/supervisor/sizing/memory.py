"""The formulas: what a model takes beside its weights. Pure; each says where it is from.

Measured figures named here: "the report", the accuracy report of llm-d's capacity planner (49 runs of 28 models, vLLM
0.19 on an H100), and vLLM's own start-up logs in public issues. `tests/unit/supervisor/sizing` holds them against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from services.supervisor.sizing.machine.hardware import GIB, Gpu
from services.supervisor.sizing.models.architecture import Architecture

BLOCK_TOKENS = 16  # vLLM hands out its cache in blocks of this many tokens
_LOGITS_FACTOR = 3.57
_ACTIVATION_FLOOR_BYTES = int(0.15 * GIB)
_MIXED_BYTES = int(0.5 * GIB)
_DRIVER_BYTES = int(0.27 * GIB)
_COMMUNICATION_BYTES = int(2.1 * GIB)
_GRAPH_BYTES = int(0.8 * GIB)
TORCH_GPU_BYTES = int(1.0 * GIB)  # an estimate: the driver's context, cuBLAS, one batch
VLLM_CPU_BYTES = int(1.6 * GIB)  # measured: 1.55 GiB resident, engine and server, with a model of 2 MB
TORCH_CPU_BYTES = int(0.8 * GIB)  # measured: 0.85 GiB resident with an embedder of 0.09 GiB


@dataclass(frozen=True, slots=True)
class Split:
    """How a model is cut over GPUs: each layer into `tensor` parts, the layers into `pipeline` stages."""

    tensor: int = 1
    pipeline: int = 1

    @property
    def ranks(self) -> int:
        return self.tensor * self.pipeline


@dataclass(frozen=True, slots=True)
class Batch:
    """What vLLM computes at a time: `max_num_seqs` and `max_num_batched_tokens`."""

    sequences: int
    tokens: int


def default_batch(gpu: Gpu | None) -> Batch:
    """What vLLM's server chooses (`EngineArgs.get_batch_defaults`), by the memory of the GPU; None: a processor."""
    if gpu is None:
        return Batch(128, 2048)
    if gpu.usable_bytes >= 160 * GIB:
        return Batch(1024, 16384)
    return Batch(1024, 8192) if gpu.usable_bytes >= 70 * GIB and "a100" not in gpu.name.lower() else Batch(256, 2048)


def cache_bytes_per_token(shape: Architecture, split: Split, element_bytes: float) -> float:
    """Key-value cache of one token on one GPU, while it is inside every layer's window.

    Layers x 2 (key and value) x kv_heads x head_dim x bytes; kv_heads are divided among the tensor parts, but each has
    at least one (vLLM `get_num_kv_heads`). Latent attention keeps one vector of kv_lora_rank + qk_rope_head_dim, in
    every part the whole (vLLM `MLAAttentionSpec`).
    """
    layers = _stage(shape.full_layers, split) + _stage(shape.windowed_layers, split)
    return layers * _layer_bytes(shape, split, element_bytes)


def cache_bytes_of_sequence(
    shape: Architecture, split: Split, element_bytes: float, context: int, batch: Batch
) -> float:
    """Key-value cache of one sequence on one GPU.

    A windowed layer keeps the window and what is computed at a time, and a block more (vLLM
    `SlidingWindowSpec.max_admission_blocks_per_request`).
    """
    blocks = math.ceil(context / BLOCK_TOKENS)
    kept = blocks * _stage(shape.full_layers, split)
    if shape.windowed_layers:
        window = min(shape.window - 1 + batch.tokens, context)
        kept += (math.ceil(window / BLOCK_TOKENS) + 1) * _stage(shape.windowed_layers, split)
    return kept * BLOCK_TOKENS * _layer_bytes(shape, split, element_bytes)


def longest_context_in(room_bytes: float, shape: Architecture, split: Split, element_bytes: float, batch: Batch) -> int:
    """The longest sequence a cache of this size holds, within the model's own limit; 0: not one block. Bisection."""
    low, high = 0, (shape.longest_context or 2**24) // BLOCK_TOKENS
    while low < high:
        middle = (low + high + 1) // 2
        if cache_bytes_of_sequence(shape, split, element_bytes, middle * BLOCK_TOKENS, batch) <= room_bytes:
            low = middle
        else:
            high = middle - 1
    return low * BLOCK_TOKENS


def activation_bytes(shape: Architecture, split: Split, batch: Batch) -> int:
    """The peak of what is computed and thrown away on one GPU of vLLM: the sampler's, or the feed-forward's.

    Sampler: 0.15 GiB + 3.57 x max_num_seqs x vocabulary x 4 bytes, fitted to the report's activations (Llama-3.1-8B
    1.89 GiB, Qwen2.5-7B 2.21, phi-4 1.52, gemma-7b 3.63, all at 1024 sequences). Feed-forward: tokens x 3 x
    (intermediate + hidden) x 2 bytes (CodeLlama-7b 0.77). Experts and images: 0.5 GiB more (Qwen3-30B-A3B 2.68).
    """
    sampler = _LOGITS_FACTOR * batch.sequences * shape.vocabulary * 4
    forward = batch.tokens * (3 * shape.intermediate / split.tensor + 3 * shape.hidden) * 2
    mixed = _MIXED_BYTES if shape.experts or shape.sees_images else 0
    return int(_ACTIVATION_FLOOR_BYTES + max(sampler, forward)) + mixed


def vllm_reserve_bytes(shape: Architecture, split: Split, batch: Batch, *, is_eager: bool) -> int:
    """What vLLM takes on one GPU beside weights and cache.

    Activations; 0.27 GiB outside of torch, 2.1 GiB with NCCL's buffers where a layer is cut (both from the report);
    0.8 GiB of CUDA graphs (0.25 to 1.04 GiB in start-up logs), which vLLM counts since 0.21, unless `enforce_eager`.
    """
    outside = _COMMUNICATION_BYTES if split.tensor > 1 else _DRIVER_BYTES
    return activation_bytes(shape, split, batch) + outside + (0 if is_eager else _GRAPH_BYTES)


def _stage(layers: int, split: Split) -> int:
    """Layers of the largest stage."""
    return math.ceil(layers / split.pipeline)


def _layer_bytes(shape: Architecture, split: Split, element_bytes: float) -> float:
    if shape.is_encoder:
        return 0
    if shape.latent is not None:
        return (shape.latent.rank + shape.latent.rope_dim) * element_bytes
    return 2 * max(1, shape.kv_heads // split.tensor) * shape.head_dim * element_bytes
