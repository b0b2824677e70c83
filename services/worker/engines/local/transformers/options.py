"""TransformersOptions: every setting of the transformers engine, by 0.2.x's name where it had one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from services.foundation.errors import InvalidSetting
from services.worker.engines.base import EngineSpec
from services.worker.engines.options import Options, option_path, read_options

_GPTQ = "set path to the folder of the GPTQ weights: they say their format themselves"
_AWQ = "set path to the folder of the AWQ weights: they say their format themselves"
REMOVED: Mapping[str, str] = {
    "awq_ckpt": _AWQ,
    "awq_groupsize": _AWQ,
    "awq_wbits": _AWQ,
    "conv_template": "the model's own chat template is used; chat_template names a file that replaces it",
    "embed_in_truncate": "embeddings are another engine's: sentence_transformers or vllm",
    "gptq_act_order": _GPTQ,
    "gptq_ckpt": _GPTQ,
    "gptq_groupsize": _GPTQ,
    "gptq_wbits": _GPTQ,
    "gpus": "the model's entry says it: gpus beside engine, not under options",
    "infer_turbo": "engine: vllm says it; leave it out",
    "model_path": "the option is called path",
    "no_register": "a worker always registers with its controller; leave it out",
}
"""Name → what to do instead; a sentence without its full stop."""


class TransformersOptions(Options):
    """Options of the transformers engine."""

    path: str = Field(
        min_length=1,
        description="Model folder: absolute, inside model_dir, 'package:<name>', or the id of a model on a hub.",
    )
    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto: CUDA, else MPS, else the CPU."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="Precision; auto: the weights' own; on a CPU bfloat16 where it computes in it."
    )
    load_8bit: bool = Field(default=False, description="Quantise to 8 bits while loading (bitsandbytes).")
    load_4bit: bool = Field(default=False, description="Quantise to 4 bits while loading (bitsandbytes).")
    num_gpus: int = Field(default=1, ge=1, description="GPUs that share the layers; more than one needs accelerate.")
    max_gpu_memory: str | None = Field(
        default=None, pattern=r"^\d+(\.\d+)?[GM]i?B$", description="Most memory taken on each GPU, as 22GiB."
    )
    cpu_offloading: bool = Field(
        default=False, description="Keep layers that do not fit on the GPUs in the machine's memory (accelerate)."
    )
    trust_remote_code: bool = Field(default=False, description="Run Python code that lies beside the weights.")
    chat_template: str | None = Field(
        default=None, description="File of a chat template that replaces the model's, as seen from the working folder."
    )
    chat_template_kwargs: dict[str, Any] = Field(
        default={}, description="What the chat template is told besides, as {enable_thinking: false}."
    )
    max_new_tokens: int | None = Field(
        default=None, ge=1, description="Longest answer where a request names none; None: the room that is left."
    )
    limit_worker_concurrency: int = Field(
        default=1, ge=1, le=64, description="Answers at a time: they take turns token by token, a KV cache each."
    )
    stream_interval: int = Field(default=1, ge=1, le=64, description="Tokens in a piece of the stream.")


def read_transformers_options(spec: EngineSpec) -> TransformersOptions:
    """The options of a spec.

    Raises:
        InvalidSetting: one is unknown, gone, out of range or contradicts another; says what to do.
    """
    for name in spec.options:
        if name in REMOVED:
            raise InvalidSetting(setting=option_path(spec, name), reason=f"it is gone; {REMOVED[name]}")
    options = read_options(spec, TransformersOptions)
    if options.load_8bit and options.load_4bit:
        raise InvalidSetting(setting=option_path(spec, "load_4bit"), reason="choose it or load_8bit, not both")
    if spec.gpus and options.num_gpus > len(spec.gpus):
        reason = f"it says {options.num_gpus}, but this replica has {len(spec.gpus)} ({','.join(spec.gpus)})"
        raise InvalidSetting(setting=option_path(spec, "num_gpus"), reason=reason)
    return options
