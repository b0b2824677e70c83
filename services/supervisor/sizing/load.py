"""A model on its device: what it takes of the memory there, as estimated and at the very least."""

from __future__ import annotations

from dataclasses import dataclass

from services.foundation.settings.models import Models
from services.supervisor.sizing.demand import Demand, Device, Tuning, demand_of
from services.supervisor.sizing.machine.hardware import Gpu, Hardware
from services.supervisor.sizing.memory import (
    TORCH_CPU_BYTES,
    TORCH_GPU_BYTES,
    VLLM_CPU_BYTES,
    Batch,
    Split,
    cache_bytes_of_sequence,
    cache_bytes_per_token,
    default_batch,
    vllm_reserve_bytes,
)
from services.supervisor.sizing.models.architecture import Architecture
from services.supervisor.sizing.models.checkpoint import Checkpoint, Origin, read_checkpoint
from services.supervisor.sizing.models.weights import Weights

_INT4_BITS = 4.16  # AWQ and GPTQ with groups of 128: a 16-bit scale and a 4-bit zero each


@dataclass(frozen=True, slots=True)
class Load:
    """What one worker process of a model takes.

    Attributes:
        tuning: the engine's options; plain defaults where they are not understood.
        weights_bytes: loaded, on all its GPUs together; None: not known.
        least_bytes: what they take whatever the engine chooses; 0 unless measured from the files.
        element_bytes: of the cache.
        smallest: the smallest of its GPUs; None: it is on a processor, or they are not there.
    """

    demand: Demand
    checkpoint: Checkpoint
    tuning: Tuning
    weights_bytes: int | None
    least_bytes: int
    element_bytes: float
    batch: Batch
    smallest: Gpu | None

    @property
    def model(self) -> str:
        return self.demand.model

    @property
    def shape(self) -> Architecture | None:
        return self.checkpoint.shape

    @property
    def is_vllm(self) -> bool:
        return self.demand.engine == "vllm"

    @property
    def cached_shape(self) -> Architecture | None:
        """Its shape where the formulas know its cache; None: it keeps none, or none they know."""
        shape = self.checkpoint.shape
        if shape is None or self.demand.is_embedder or shape.is_encoder or not shape.has_known_cache:
            return None
        return shape

    @property
    def rank_bytes(self) -> float:
        """Weights on one GPU."""
        return (self.weights_bytes or 0) / self.demand.split.ranks

    def reserve_bytes(self, split: Split) -> int:
        """What is taken on one device beside weights and cache."""
        if self.demand.device is Device.CPU:
            return VLLM_CPU_BYTES if self.is_vllm else TORCH_CPU_BYTES
        if not self.is_vllm or self.shape is None:
            return TORCH_GPU_BYTES
        return vllm_reserve_bytes(self.shape, split, self.batch, is_eager=self.tuning.enforce_eager)

    def token_bytes(self) -> float | None:
        """Cache of a token, on all its GPUs together."""
        if self.cached_shape is None:
            return None
        return cache_bytes_per_token(self.cached_shape, Split(), self.element_bytes)

    def sequence_bytes(self, split: Split, context: int) -> float:
        """Cache of the longest request on one device."""
        if self.cached_shape is None:
            return 0.0
        return cache_bytes_of_sequence(self.cached_shape, split, self.element_bytes, context, self.batch)

    @property
    def int4_bytes(self) -> int | None:
        """What its weights would take in 4 bits; None: they are quantised already, or not known."""
        weights = self.checkpoint.weights
        if weights is None or weights.fixed_bytes or self.tuning.loading_bits is not None:
            return None
        return weights.bytes_in_memory(2, _INT4_BITS)


def load_of(models: Models, name: str, hardware: Hardware) -> Load:
    """Look at a served model's settings and files."""
    demand, checkpoint = demand_of(models, name, hardware), read_checkpoint(models, name)
    tuning = demand.tuning or Tuning()
    own = _float_bytes(demand, checkpoint, tuning, hardware)
    weights = checkpoint.weights
    smallest = _smallest(demand, hardware)
    standard = default_batch(smallest)
    return Load(
        demand=demand,
        checkpoint=checkpoint,
        tuning=tuning,
        weights_bytes=None if weights is None else weights.bytes_in_memory(own, tuning.loading_bits),
        least_bytes=_least(weights, own, tuning) if checkpoint.origin is Origin.MEASURED and weights else 0,
        element_bytes=tuning.element_bytes(own),
        batch=Batch(tuning.max_num_seqs or standard.sequences, tuning.max_num_batched_tokens or standard.tokens),
        smallest=smallest,
    )


def _float_bytes(demand: Demand, checkpoint: Checkpoint, tuning: Tuning, hardware: Hardware) -> int:
    """As the engines choose: vLLM never 32 bits, the others what is stored, or what a processor computes in."""
    if tuning.float_bytes is not None:
        return tuning.float_bytes
    if demand.engine == "vllm":
        return 2
    if demand.device is Device.CPU:
        return 2 if hardware.has_bfloat16 else 4
    return 4 if demand.is_embedder else checkpoint.shape.float_bytes if checkpoint.shape else 2


def _least(weights: Weights, own: int, tuning: Tuning) -> int:
    """Whatever "auto" comes to, and even if every weight were quantised."""
    floats = own if tuning.dtype != "auto" else min(own, 2)
    bits = min(8.0 * floats, tuning.loading_bits or 8.0 * floats)
    return int((weights.packed + weights.kept) * bits / 8) + weights.fixed_bytes


def _smallest(demand: Demand, hardware: Hardware) -> Gpu | None:
    found = [hardware.gpu(name) for replica in demand.replicas for name in replica]
    there = [gpu for gpu in found if gpu is not None]
    return min(there, key=lambda gpu: gpu.memory_bytes) if there and len(there) == len(found) else None
