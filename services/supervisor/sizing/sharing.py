"""Several models on one GPU, or in one main memory: what they take together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from services.supervisor.messages import Fact
from services.supervisor.sizing.demand import Device
from services.supervisor.sizing.findings import Finding, found, gib
from services.supervisor.sizing.load import Load
from services.supervisor.sizing.machine.hardware import Gpu, Hardware

_ROUNDING = 1e-6


def taken_by_others(load: Load, loads: Sequence[Load], name: str, hardware: Hardware) -> float:
    """What the other worker processes on a GPU take of it."""
    gpu = hardware.gpu(name)
    if gpu is None:
        return 0.0
    own = sum(hardware.gpu(each) == gpu for gpus in load.demand.replicas[:1] for each in gpus)
    return sum(_taken(each, gpu) for each in _on(loads, hardware)[gpu.index]) - own * _taken(load, gpu)


def gpu_findings(loads: Sequence[Load], hardware: Hardware) -> Iterator[Finding]:
    """GPUs that are promised more than once, or are in use already."""
    placed = _on(loads, hardware)
    for gpu in hardware.gpus or ():
        together = placed[gpu.index]
        if not together:
            continue
        wanted = sum(_taken(load, gpu) for load in together)
        least = sum(_least_share(load, gpu) for load in together)
        models = tuple(dict.fromkeys(load.model for load in together))
        percent = f"{max(wanted / gpu.usable_bytes, least) * 100:.0f}"
        facts: dict[str, Fact] = {"gpu": gpu.index, "names": ", ".join(models)}
        if len(together) > 1 and max(wanted / gpu.usable_bytes, least) > 1 + _ROUNDING:
            is_certain = least > 1 + _ROUNDING and not hardware.has_unlike_gpus
            yield replace(found("gpu_shared", is_certain=is_certain, percent=percent, **facts), models=models)
        elif wanted > gpu.free_bytes:
            busy = _busy(together, gpu, wanted, facts, is_sure_which=not hardware.has_unlike_gpus)
            yield replace(busy, models=models)


def ram_findings(loads: Sequence[Load], hardware: Hardware) -> Iterator[Finding]:
    """Models on the processor against main memory: beyond doubt only by weights and caches of a fixed size."""
    ram = hardware.ram
    together = [load for load in loads if load.demand.device is Device.CPU]
    if ram is None or not together:
        return
    wanted = sum(_in_ram(load) * len(load.demand.replicas) for load in together)
    least = sum((load.least_bytes + _fixed_cache(load)) * len(load.demand.replicas) for load in together)
    if wanted > ram.free_bytes:
        models = tuple(load.model for load in together)
        is_certain = least > ram.free_bytes + ram.free_swap_bytes
        facts: dict[str, Fact] = {"names": ", ".join(models), "needed": gib(wanted), "free": gib(ram.free_bytes)}
        yield replace(found("ram", is_certain=is_certain, **facts), models=models)
        return
    for load in together:
        asked = ram.total_bytes * load.tuning.gpu_memory_utilization
        if load.is_vllm and load.tuning.kv_cache_memory_bytes is None and asked > ram.free_bytes:
            own: dict[str, Fact] = {"model": load.model, "percent": f"{load.tuning.gpu_memory_utilization * 100:.0f}"}
            share = found("ram_share", is_certain=False, needed=gib(asked), free=gib(ram.free_bytes), **own)
            yield replace(share, models=(load.model,))


def _on(loads: Sequence[Load], hardware: Hardware) -> Mapping[int, list[Load]]:
    """GPU → the worker processes on it; a model of two replicas there stands twice."""
    placed: dict[int, list[Load]] = defaultdict(list)
    for load in loads:
        for replica in load.demand.replicas if load.demand.device is Device.GPU else ():
            for name in replica:
                gpu = hardware.gpu(name)
                if gpu is not None:
                    placed[gpu.index].append(load)
    return placed


def _taken(load: Load, gpu: Gpu) -> float:
    if load.is_vllm and load.tuning.kv_cache_memory_bytes is None:
        return gpu.usable_bytes * load.tuning.gpu_memory_utilization
    return load.rank_bytes + load.reserve_bytes(load.demand.split) + _fixed_cache(load)


def _least_share(load: Load, gpu: Gpu) -> float:
    """Of vLLM its own: it refuses to start unless its share of the whole memory is free."""
    if load.is_vllm and load.tuning.kv_cache_memory_bytes is None:
        return load.tuning.gpu_memory_utilization
    least = load.least_bytes if load.tuning.is_plain else 0
    return (least / load.demand.split.ranks + _fixed_cache(load)) / gpu.memory_bytes


def _busy(
    together: Sequence[Load], gpu: Gpu, wanted: float, facts: Mapping[str, Fact], *, is_sure_which: bool
) -> Finding:
    shares = [load.tuning.gpu_memory_utilization for load in together if load.is_vllm]
    is_certain = is_sure_which and any(gpu.usable_bytes * share > gpu.free_bytes for share in shares)
    numbers = {"free": gib(gpu.free_bytes), "total": gib(gpu.memory_bytes), "needed": gib(wanted)}
    return found("gpu_busy", is_certain=is_certain, **facts, **numbers)


def _in_ram(load: Load) -> float:
    return (load.weights_bytes or 0) + load.reserve_bytes(load.demand.split) + _fixed_cache(load)


def _fixed_cache(load: Load) -> int:
    return (load.tuning.kv_cache_memory_bytes or 0) if load.is_vllm else 0
