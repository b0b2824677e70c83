"""Loads a model and its tokenizer, on the device and in the precision the options ask for. Called by the engine."""

from __future__ import annotations

import gc
import importlib.util
import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.foundation.errors import EngineFailed, InvalidSetting, MissingPackage, OutOfMemory
from services.worker.engines.base import EngineSpec
from services.worker.engines.local.transformers.options import TransformersOptions
from services.worker.engines.local.weights import find_weights
from services.worker.engines.options import option_path

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

_BYTES = {"GB": 10**9, "MB": 10**6, "GiB": 2**30, "MiB": 2**20}
_REASON_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to answer.

    Attributes:
        model: the network, in evaluation mode.
        tokenizer: of the same folder, with the chat template that holds.
        device: where its input goes.
        context_tokens: longest prompt and answer together.
        end_ids: tokens that end an answer.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    context_tokens: int
    end_ids: frozenset[int]


def load_model(spec: EngineSpec, options: TransformersOptions) -> Loaded:
    """Find the weights and load them. Blocks.

    Raises:
        InvalidSetting: the weights are nowhere or unsafe, a device is absent, there is no chat template.
        MissingPackage: an option needs a package that is not installed.
        OutOfMemory: the weights do not fit.
        EngineFailed: transformers cannot load them.
    """
    _check_packages(options)
    template = _template_file(spec, options)
    folder = find_weights(spec, options.path, trust_remote_code=options.trust_remote_code)
    if folder.is_file():
        reason = f"{folder} is a GGUF file, which this engine does not read; serve it with llama.cpp or Ollama (engine "
        raise InvalidSetting(setting=option_path(spec, "path"), reason=reason + "openai_compatible), or with vllm")
    try:
        loaded = _load(spec, options, folder)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, MemoryError) as failure:
        reason = str(failure)[:_REASON_LIMIT]
        exhausted = is_out_of_memory(failure)
        log.info("loading %s failed", folder, exc_info=True)
    else:
        if template is not None:
            loaded.tokenizer.chat_template = template
        if not loaded.tokenizer.chat_template:
            reason = f"the model in {folder} brings no chat template; name a file with one (vLLM's repository has some)"
            raise InvalidSetting(setting=option_path(spec, "chat_template"), reason=reason)
        return loaded
    release_memory()
    if exhausted:
        raise OutOfMemory(model=spec.model, reason=f"its weights do not fit ({reason})")
    raise EngineFailed(model=spec.model, reason=f"{folder} cannot be loaded: {reason}")


def is_out_of_memory(failure: BaseException) -> bool:
    """Whether a failure of torch says that memory ran out, on whichever device."""
    import torch

    if isinstance(failure, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(failure)
    return isinstance(failure, RuntimeError) and ("out of memory" in said or "allocate memory" in said)


def release_memory() -> None:
    """Give back what failed work has left. The failure itself must be gone: its traceback holds the tensors."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _check_packages(options: TransformersOptions) -> None:
    needed = []
    if options.load_8bit or options.load_4bit:
        needed += ["bitsandbytes", "accelerate"]
    if options.num_gpus > 1 or options.cpu_offloading:
        needed.append("accelerate")
    for package in needed:
        if importlib.util.find_spec(package) is None:
            raise MissingPackage(shelf="engine", name="transformers", package=package)


def _template_file(spec: EngineSpec, options: TransformersOptions) -> str | None:
    if options.chat_template is None:
        return None
    try:
        return Path(options.chat_template).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        raise InvalidSetting(setting=option_path(spec, "chat_template"), reason=str(failure)) from failure


def _load(spec: EngineSpec, options: TransformersOptions, folder: Path) -> Loaded:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # it writes into the log
    device = _device(spec, options)
    placement = _placement(spec, options, device)
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=options.trust_remote_code,
        dtype=_dtype(options, device),
        **placement,
    )
    network: torch.nn.Module = model
    if not placement:
        network.to(device)
    network.eval()
    if "past_key_values" not in inspect.signature(model.forward).parameters:
        raise ValueError(f"{type(model).__name__} keeps no key-value cache that this engine knows; use the vllm engine")
    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=options.trust_remote_code
    )
    context_tokens = _context_tokens(spec, model)
    log.info("%s: %s on %s, %d tokens of context", folder, model.dtype, model.device, context_tokens)
    return Loaded(model, tokenizer, model.device, context_tokens, _end_ids(model, tokenizer))


def _device(spec: EngineSpec, options: TransformersOptions) -> torch.device:
    import torch

    asked = options.device
    if asked == "auto":
        found = "mps" if torch.backends.mps.is_available() else "cpu"
        asked = "cuda" if torch.cuda.is_available() else found
    if asked == "cuda" and spec.gpus:
        if not all(gpu.isdigit() for gpu in spec.gpus):
            raise InvalidSetting(setting=f"models.served.{spec.model}.gpus", reason="this engine takes numbers only")
        asked = f"cuda:{spec.gpus[0]}"
    device = torch.device(asked)
    usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}.get(device.type, True)
    if not usable or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        reason = f"torch {torch.__version__} sees no {asked} here; check the driver and torch's build"
        raise InvalidSetting(setting=option_path(spec, "device"), reason=reason)
    return device


def _dtype(options: TransformersOptions, device: torch.device) -> torch.dtype | str:
    """A CPU that does not compute in bfloat16 is several times slower in it than in float32."""
    import torch

    if options.dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[options.dtype]
    if device.type != "cpu":
        return "auto"
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def _placement(spec: EngineSpec, options: TransformersOptions, device: torch.device) -> Mapping[str, Any]:
    """How `from_pretrained` spreads and quantises the weights; empty: it loads them whole, for one device."""
    import torch
    from transformers import BitsAndBytesConfig

    chosen: dict[str, Any] = {}
    if options.load_8bit:
        eight = BitsAndBytesConfig(load_in_8bit=True)  # type: ignore[no-untyped-call]
        chosen = {"quantization_config": eight, "device_map": {"": device}}
    elif options.load_4bit:
        # NormalFloat with nested quantisation: what the QLoRA paper found best for weights that are only read.
        four = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        chosen = {"quantization_config": four, "device_map": {"": device}}
    if device.type == "cuda" and (options.num_gpus > 1 or options.cpu_offloading):
        return {**chosen, "device_map": "auto", "max_memory": _shares(spec, options, device)}
    if device.type == "cuda" and options.max_gpu_memory is not None:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, size_bytes(options.max_gpu_memory) / total), device)
    return chosen


def _shares(spec: EngineSpec, options: TransformersOptions, device: torch.device) -> Mapping[int | str, int]:
    import torch

    first = device.index or 0
    chosen = [int(gpu) for gpu in spec.gpus] or list(range(first, torch.cuda.device_count()))
    shares: dict[int | str, int] = {}
    for gpu in chosen[: options.num_gpus]:
        free, _ = torch.cuda.mem_get_info(gpu)
        shares[gpu] = int(size_bytes(options.max_gpu_memory)) if options.max_gpu_memory else int(free * 0.9)
    if options.cpu_offloading:
        import psutil

        shares["cpu"] = int(psutil.virtual_memory().available * 0.9)
    return shares


def size_bytes(text: str) -> float:
    """`22GiB` in bytes."""
    number = text.rstrip("GMiB")
    return float(number) * _BYTES[text[len(number) :]]


def _context_tokens(spec: EngineSpec, model: PreTrainedModel) -> int:
    config = model.config.get_text_config()
    trained = getattr(config, "max_position_embeddings", None) or spec.context_tokens
    rope = getattr(config, "rope_parameters", None) or {}
    stretched = float(rope.get("factor") or 1) * float(rope.get("original_max_position_embeddings") or 0)
    longest = max(int(trained), int(stretched))
    if spec.context_tokens > longest:
        log.warning("context_tokens says %d, but the model was made for %d: that holds", spec.context_tokens, longest)
    return min(spec.context_tokens, longest)


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    said = getattr(model.generation_config, "eos_token_id", None)
    ends = said if isinstance(said, list) else [said]
    return frozenset(int(each) for each in [*ends, tokenizer.eos_token_id] if each is not None)
