"""Where and in which precision a network runs, and what its failures mean. Used by the embedder and the reranker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

from services.foundation.errors import EngineFailed, InvalidSetting, OutOfMemory
from services.worker.engines.base import EngineSpec
from services.worker.engines.local.transformers.loading import is_out_of_memory, release_memory
from services.worker.engines.options import option_path

log = logging.getLogger(__name__)
T = TypeVar("T")

_REASON_LIMIT = 300


def chosen_device(spec: EngineSpec, asked: str) -> str:
    """The torch device that the option `device` means here.

    Raises:
        InvalidSetting: this machine has none, or not this one.
    """
    import torch

    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    device = ("cuda" if has_cuda else "mps" if has_mps else "cpu") if asked == "auto" else asked
    if device == "cuda" and spec.gpus:
        if not spec.gpus[0].isdigit():
            raise InvalidSetting(setting=f"models.served.{spec.model}.gpus", reason="this engine takes numbers only")
        device = f"cuda:{spec.gpus[0]}"
    kind, _, number = device.partition(":")
    usable = {"cuda": has_cuda and int(number or 0) < torch.cuda.device_count(), "mps": has_mps}.get(kind, True)
    if not usable:
        reason = f"torch {torch.__version__} sees no {device} here; check the driver and torch's build"
        raise InvalidSetting(setting=option_path(spec, "device"), reason=reason)
    return device


def chosen_dtype(asked: str, device: str, processor: Mapping[str, object]) -> str:
    """What "auto" means: bfloat16 on a CPU that computes in it, else float32."""
    if asked != "auto":
        return asked
    computes = bool(processor.get("avx512_bf16") or processor.get("amx_bf16"))
    return "bfloat16" if device == "cpu" and computes else "float32"


def loaded(spec: EngineSpec, place: str, load: Callable[[], T]) -> T:
    """What `load` makes.

    Raises:
        OutOfMemory: it does not fit.
        EngineFailed: it cannot be loaded from `place`.
    """
    try:
        return load()
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, MemoryError) as failure:
        log.info("loading %s failed", place, exc_info=True)
        reason, is_exhausted = str(failure)[:_REASON_LIMIT], is_out_of_memory(failure)
    release_memory()
    if is_exhausted:
        raise OutOfMemory(model=spec.model, reason=f"its weights do not fit ({reason})")
    raise EngineFailed(model=spec.model, reason=f"{place} cannot be loaded: {reason}")


def computed(model: str, work: Callable[[], T]) -> T:
    """What `work` gives; memory it has filled in vain is given back.

    Raises:
        OutOfMemory: it was too much at a time.
        EngineFailed: anything else the network stumbles over.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as failure:
        if not is_out_of_memory(failure):
            log.exception("%s: a batch failed", model)
            raise EngineFailed(model=model, reason=str(failure)[:_REASON_LIMIT]) from failure
        reason = str(failure)[:_REASON_LIMIT]
    release_memory()  # only now: the failure held on to what it had allocated
    raise OutOfMemory(model=model, reason=reason)


def cores_used() -> int:
    """On how many cores torch computes, in the calling thread."""
    import torch

    return torch.get_num_threads()


def use_cores(count: int) -> None:
    """Have the calling thread compute on so many cores; on several it waits at each layer until all are free."""
    import torch

    torch.set_num_threads(count)


def give_back(device: str) -> None:
    """Return the memory of a network that nobody holds any more, where that does not happen by itself."""
    if device != "cpu":
        release_memory()
