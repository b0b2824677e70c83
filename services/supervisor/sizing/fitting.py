"""Settings and hardware → what each model takes, what is left for its requests, and what keeps it from fitting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.foundation.settings.models import Models
from services.supervisor.sizing.demand import Device, needs_memory
from services.supervisor.sizing.findings import (
    Budget,
    Finding,
    memory_findings,
    placement_findings,
    shape_findings,
)
from services.supervisor.sizing.load import Load, load_of
from services.supervisor.sizing.machine.hardware import Hardware
from services.supervisor.sizing.memory import longest_context_in
from services.supervisor.sizing.sharing import gpu_findings, ram_findings, taken_by_others


@dataclass(frozen=True, slots=True)
class Fit:
    """One model on this machine.

    Attributes:
        room_bytes: for the cache, on each of its devices; None: not known, or it needs none.
        context: the longest request that is admitted; None: not known.
        longest: the longest request that the room would hold, within the model's own limit.
        concurrency: requests of that length at a time, in one worker.
        findings: empty: it fits, as far as is known.
    """

    load: Load
    room_bytes: float | None
    context: int | None
    longest: int | None
    concurrency: int | None
    findings: tuple[Finding, ...]

    @property
    def is_known(self) -> bool:
        """Whether anything could be compared."""
        return self.load.weights_bytes is not None and self.load.demand.device is not Device.UNKNOWN


@dataclass(frozen=True, slots=True)
class Sizing:
    """All chosen models on this machine.

    Attributes:
        idle: models that need no memory of it.
        shared: findings about several models together.
    """

    hardware: Hardware
    fits: tuple[Fit, ...]
    idle: tuple[str, ...]
    shared: tuple[Finding, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        return (*(finding for fit in self.fits for finding in fit.findings), *self.shared)


def size_models(models: Models, names: Sequence[str], hardware: Hardware) -> Sizing:
    """Size the named models together. Pure but for reading the models' configs and headers."""
    sized = [name for name in names if needs_memory(models.served[name])]
    loads = [load_of(models, name, hardware) for name in sized]
    return Sizing(
        hardware=hardware,
        fits=tuple(_fit(load, loads, hardware) for load in loads),
        idle=tuple(name for name in names if name not in sized),
        shared=(*gpu_findings(loads, hardware), *ram_findings(loads, hardware)),
    )


def _fit(load: Load, loads: Sequence[Load], hardware: Hardware) -> Fit:
    budget = _budget(load, loads, hardware)
    findings = tuple(_findings(load, budget, hardware))
    shape, split = load.cached_shape, load.demand.split
    context = _context(load)
    if budget is None or shape is None or context is None or load.weights_bytes is None:
        return Fit(load, None, context, None, None, findings)
    room = max(0.0, budget.room(load, split))
    longest = longest_context_in(room, shape, split, load.element_bytes, load.batch)
    at_once = int(room // load.sequence_bytes(split, context))
    return Fit(load, room, context, longest, min(at_once, _limit(load)), findings)


def _findings(load: Load, budget: Budget | None, hardware: Hardware) -> Iterator[Finding]:
    yield from placement_findings(load, hardware)
    yield from shape_findings(load)
    if budget is not None:
        yield from memory_findings(load, budget, hardware)


def _context(load: Load) -> int | None:
    """What vLLM is told is context_tokens; other chat models end at their own limit; an embedder cuts."""
    longest = load.shape.longest_context if load.shape else None
    if load.demand.is_embedder:
        return None
    return load.demand.context if load.is_vllm or not longest else min(load.demand.context, longest)


def _limit(load: Load) -> int:
    own = load.tuning.limit_worker_concurrency
    return min(load.batch.sequences, own or load.batch.sequences) if load.is_vllm else own or 1


def _budget(load: Load, loads: Sequence[Load], hardware: Hardware) -> Budget | None:
    """None: its device is not known, or not there."""
    if load.demand.device is Device.CPU:
        return _cpu_budget(load, loads, hardware)
    gpu, tuning = load.smallest, load.tuning
    if gpu is None:
        return None
    if load.is_vllm and tuning.kv_cache_memory_bytes is None:
        share = tuning.gpu_memory_utilization
        return Budget(gpu.usable_bytes * share, _most(gpu.memory_bytes, hardware) * share)
    others = max(taken_by_others(load, loads, name, hardware) for gpus in load.demand.replicas for name in gpus)
    limit = min(tuning.max_gpu_memory or gpu.usable_bytes, gpu.usable_bytes)
    fixed = tuning.kv_cache_memory_bytes if load.is_vllm else None
    taken = max(0.0, others - (gpu.usable_bytes - limit))
    return Budget(limit, _most(gpu.memory_bytes, hardware), fixed, taken)


def _most(memory_bytes: int, hardware: Hardware) -> int:
    """Of unlike GPUs it may be the largest that is meant."""
    if not hardware.has_unlike_gpus:
        return memory_bytes
    return max(gpu.memory_bytes for gpu in hardware.gpus or ())


def _cpu_budget(load: Load, loads: Sequence[Load], hardware: Hardware) -> Budget | None:
    ram = hardware.ram
    if ram is None:
        return None
    swappable = ram.total_bytes + ram.free_swap_bytes
    if not load.is_vllm:
        others = sum(
            (other.weights_bytes or 0) + other.reserve_bytes(other.demand.split)
            for other in loads
            if other.demand.device is Device.CPU and other is not load
        )
        return Budget(ram.free_bytes, swappable, taken_bytes=others)
    fixed = load.tuning.kv_cache_memory_bytes
    share = load.tuning.gpu_memory_utilization
    return Budget(ram.total_bytes * share if fixed is None else ram.free_bytes, swappable, fixed)
