"""What keeps a model from fitting: a sentence for a person, and whether it is beyond doubt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.supervisor.messages import Fact, Sentence, sentence
from services.supervisor.sizing.demand import Device
from services.supervisor.sizing.load import Load
from services.supervisor.sizing.machine.hardware import GIB, Hardware
from services.supervisor.sizing.memory import Split, longest_context_in

_TENSOR_SIZES = (2, 4, 8, 16)
_SHORTEST_CONTEXT = 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason why something does not fit.

    Attributes:
        is_certain: by numbers that are read, not estimated: starting would be in vain.
        models: whom it concerns, where that is more than one.
    """

    sentence: Sentence
    is_certain: bool
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """What a model has on each of its devices.

    Attributes:
        bytes: for weights, cache and all else.
        most_bytes: the same, if every estimate were too careful.
        cache_bytes: a size of the cache that the settings fix.
        taken_bytes: what other models take of `bytes`; whether all fit together, `sharing.py` says.
    """

    bytes: float
    most_bytes: float
    cache_bytes: int | None = None
    taken_bytes: float = 0

    def room(self, load: Load, split: Split) -> float:
        """For the cache, on one device."""
        if self.cache_bytes is not None:
            return self.cache_bytes
        return self.bytes - self.taken_bytes - (load.weights_bytes or 0) / split.ranks - load.reserve_bytes(split)

    def most_room(self, load: Load, split: Split) -> float:
        """For the cache, if every estimate were too careful."""
        return self.cache_bytes if self.cache_bytes is not None else self.most_bytes - load.least_bytes / split.ranks


def found(key: str, *, is_certain: bool, **facts: Fact) -> Finding:
    """A finding whose sentence is `sizing.<key>`."""
    return Finding(sentence(f"sizing.{key}", **facts), is_certain)


def gib(size: float) -> str:
    """In GiB, as a person reads it."""
    return f"{size / GIB:.1f}" if abs(size) >= GIB / 10 else f"{size / GIB:.2f}"


def placement_findings(load: Load, hardware: Hardware) -> Iterator[Finding]:
    """GPUs that are not there, too few, or cannot be shared out."""
    demand, split = load.demand, load.demand.split
    if demand.has_uneven_gpus:
        yield found("gpus_uneven", is_certain=True, model=load.model, replicas=len(demand.replicas))
        return
    if demand.named_gpus is not None and split.ranks > demand.named_gpus:
        given = demand.named_gpus
        yield found("too_few_gpus", is_certain=True, model=load.model, wanted=split.ranks, given=given)
    if demand.device is not Device.GPU or hardware.gpus is None:
        return
    known = ", ".join(str(gpu.index) for gpu in hardware.gpus) or "-"
    absent = dict.fromkeys(name for gpus in demand.replicas for name in gpus if hardware.gpu(name) is None)
    if absent:
        # Without any GPU in sight another kind may be there, which nvidia-smi does not know.
        is_certain = bool(hardware.gpus) and load.tuning.is_plain
        yield found("no_such_gpu", is_certain=is_certain, model=load.model, gpus=", ".join(absent), known=known)


def shape_findings(load: Load) -> Iterator[Finding]:
    """What contradicts the model's own config."""
    shape, demand = load.shape, load.demand
    if load.checkpoint.faults:
        place = load.checkpoint.place
        files = ", ".join(load.checkpoint.faults[:3])
        yield found("incomplete", is_certain=True, model=load.model, path=str(place and place.found), files=files)
    if shape is None or not load.is_vllm:
        return
    if shape.heads % demand.split.tensor:
        facts: dict[str, Fact] = {"model": load.model, "heads": shape.heads, "size": demand.split.tensor}
        sizes = ", ".join(str(size) for size in (1, *_TENSOR_SIZES) if shape.heads % size == 0)
        yield found("heads", is_certain=True, sizes=sizes, **facts)
    longest = shape.longest_context
    if longest is not None and demand.context > longest:
        yield found("context_beyond_model", is_certain=True, model=load.model, asked=demand.context, longest=longest)


def memory_findings(load: Load, budget: Budget, hardware: Hardware) -> Iterator[Finding]:
    """Weights, then the longest request, against the memory."""
    if load.weights_bytes is None:
        return
    split = load.demand.split
    fixed = budget.cache_bytes or 0
    left = budget.bytes - load.rank_bytes - load.reserve_bytes(split) - fixed
    most_left = budget.most_bytes - load.least_bytes / split.ranks - fixed
    if left < 0 or most_left < 0:
        yield _too_large(load, budget, hardware, is_certain=most_left < 0 and load.tuning.is_plain)
        return
    needed = load.sequence_bytes(split, _context(load))
    if needed > budget.room(load, split) >= 0:
        is_certain = needed > budget.most_room(load, split) and load.tuning.is_plain
        yield _too_long(load, budget, needed, is_certain=is_certain)


def _context(load: Load) -> int:
    longest = load.shape.longest_context if load.shape else None
    return min(load.demand.context, longest) if longest else load.demand.context


def _too_long(load: Load, budget: Budget, needed: float, *, is_certain: bool) -> Finding:
    shape, split = load.cached_shape, load.demand.split
    room = budget.room(load, split)
    fits = longest_context_in(room, shape, split, load.element_bytes, load.batch) if shape else 0
    facts: dict[str, Fact] = {
        "model": load.model,
        "asked": _context(load),
        "needed": gib(needed),
        "room": gib(room),
        "fits": fits,
    }
    return found("context_beyond_room" if fits else "no_room", is_certain=is_certain, **facts)


def _too_large(load: Load, budget: Budget, hardware: Hardware, *, is_certain: bool) -> Finding:
    split = load.demand.split
    on_gpu = load.demand.device is Device.GPU
    facts: dict[str, Fact] = {
        "model": load.model,
        "weights": gib(load.rank_bytes),
        "reserve": gib(load.reserve_bytes(split) + (budget.cache_bytes or 0)),
        "budget": gib(budget.bytes),
    }
    size = _cut(load, budget, hardware) if on_gpu and load.is_vllm else None
    if size is not None:
        return found("cut", is_certain=is_certain, size=size, gpus=size * split.pipeline, **facts)
    int4 = load.int4_bytes
    smallest = load.reserve_bytes(split) + load.sequence_bytes(split, _SHORTEST_CONTEXT)
    if int4 is not None and int4 / split.ranks + smallest <= budget.bytes:
        return found("quantise", is_certain=is_certain, int4=gib(int4 / split.ranks), **facts)
    return found("smaller_on_gpu" if on_gpu else "smaller_on_cpu", is_certain=is_certain, **facts)


def _cut(load: Load, budget: Budget, hardware: Hardware) -> int | None:
    """The smallest power of two that divides the heads and fits on GPUs of this machine; None: there is none."""
    shape, stages = load.shape, load.demand.split.pipeline
    gpus = hardware.gpus or ()
    if shape is None or load.smallest is None:
        return None
    share = budget.bytes / load.smallest.usable_bytes
    for size in _TENSOR_SIZES:
        split = Split(size, stages)
        if size <= load.demand.split.tensor or shape.heads % size or split.ranks > len(gpus):
            continue
        each = Budget(min(gpu.usable_bytes for gpu in gpus) * share, 0, budget.cache_bytes)
        free = each.bytes - (load.weights_bytes or 0) / split.ranks - load.reserve_bytes(split)
        if free >= max(budget.cache_bytes or 0, load.sequence_bytes(split, _context(load))):
            return size
    return None
