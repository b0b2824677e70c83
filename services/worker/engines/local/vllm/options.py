"""VllmOptions: every setting of the vLLM engine, by the name 0.2.x's operators know. `arguments` passes them on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from services.foundation.errors import InvalidSetting
from services.worker.engines.base import EngineSpec
from services.worker.engines.local.vllm.removed import REMOVED
from services.worker.engines.options import Options, option_path, read_options

_BYTES = r"^[1-9]\d*[kKmMgGtT]?$"
_DEFAULT_CONCURRENCY = 256


class VllmOptions(Options):
    """Options of the vllm engine. None leaves the choice to vLLM."""

    path: str = Field(description="Folder of the weights, inside model_dir or absolute, or a hub's id.")
    tokenizer: str | None = Field(default=None, description="Folder of another tokenizer than the weights' own.")
    tokenizer_mode: str = Field(default="auto", description="auto, hf, mistral or a model family's own.")
    tokenizer_revision: str | None = Field(default=None, description="Revision of the tokenizer.")
    trust_remote_code: bool = Field(default=False, description="Run Python code that lies beside the weights.")
    load_format: str = Field(default="auto", description="auto, safetensors, pt, bitsandbytes, gguf, dummy, …")
    revision: str | None = Field(default=None, description="Revision of the weights.")
    dtype: Literal["auto", "half", "float16", "bfloat16", "float", "float32"] = Field(
        default="auto", description="Number format of weights and activations."
    )
    quantization: str | None = Field(default=None, description="awq, gptq, fp8, bitsandbytes, …; None: as the weights.")
    seed: int = Field(default=0, description="Seed of the engine's random numbers.")
    max_model_len: int | None = Field(
        default=None,
        ge=1,
        description="Longest request in tokens. The entry's context_tokens decides; said here too, it must be equal.",
    )
    num_gpus: int | None = Field(default=None, ge=1, description="GPUs to use; None: all of the entry's gpus, else 1.")
    tensor_parallel_size: int = Field(default=1, ge=1, description="GPUs that share each layer; at least num_gpus.")
    pipeline_parallel_size: int = Field(default=1, ge=1, description="Groups of GPUs that share out the layers.")
    worker_use_ray: bool = Field(default=False, description="Run the GPU workers in Ray, across machines.")
    gpu_memory_utilization: float | None = Field(
        default=None, gt=0, le=1, description="Share of a GPU's memory vLLM may take; of the machine's on the CPU."
    )
    kv_cache_memory_bytes: int | str | None = Field(
        default=None, pattern=_BYTES, description="Size of the KV cache, as 4G; gpu_memory_utilization is then unused."
    )
    kv_cache_dtype: str | None = Field(default=None, description="Number format of the KV cache: auto, fp8, …")
    block_size: int | None = Field(default=None, ge=1, description="Tokens in a block of the KV cache.")
    enable_prefix_caching: bool | None = Field(default=None, description="Keep the KV cache of common beginnings.")
    enforce_eager: bool = Field(default=False, description="No compiled graphs: starts faster, answers slower.")
    max_num_seqs: int | None = Field(default=None, ge=1, description="Sequences worked on in one step.")
    max_num_batched_tokens: int | None = Field(default=None, ge=1, description="Tokens worked on in one step.")
    limit_worker_concurrency: int | None = Field(
        default=None, ge=1, description=f"Requests in vLLM at a time; None: max_num_seqs, else {_DEFAULT_CONCURRENCY}."
    )
    waiting_limit: int = Field(default=64, ge=0, description="Requests that may wait beyond; the next gets 429.")
    disable_log_stats: bool = Field(
        default=False,
        description="No figures in /metrics and the log; a long answer that is not streamed then looks like a stall.",
    )
    max_log_len: int | None = Field(default=None, ge=0, description="Characters of a prompt in the log, if logged.")
    conv_template: str | None = Field(
        default=None, description="FastChat's conversation template, for FastChat's wire only; None: the model's own."
    )
    chat_template: str | None = Field(default=None, description="File of a chat template that replaces the model's.")
    tool_call_parser: str | None = Field(default=None, description="Reads the model's tool calls: hermes, qwen3_xml, …")
    tool_strict_level: Literal["auto", "function", "parameter"] = Field(
        default="parameter", description="How far tool calls are held to their schema; parameter: in full."
    )
    structured_outputs: Literal["auto", "guidance", "outlines", "xgrammar"] = Field(
        default="auto",
        description="What holds answers to a schema. auto: xgrammar, and guidance for what it cannot; tool calls need "
        "xgrammar, which may let a raw line break into a string with maxLength.",
    )
    media_domains: list[str] = Field(
        default=[], description="Hosts images may be fetched from; none: images come inside the request only."
    )
    reasoning_parser: str | None = Field(default=None, description="Reads the model's thinking: qwen3, deepseek_r1, …")
    instructions: Literal["auto", "off"] = Field(
        default="auto", description="Whether an embedding model's instructions are found out; off: none are put."
    )
    query_instruction: str | None = Field(default=None, description="Put before queries instead; may be empty.")
    passage_instruction: str | None = Field(default=None, description="Put before passages instead; may be empty.")
    server_port: int | None = Field(
        default=None, ge=1, le=65535, description="Port of vLLM's server; None: a free one."
    )
    public_url: str | None = Field(
        default=None, pattern=r"^https?://[^/]+$", description="Where others reach it; None: http://host:server_port."
    )
    python: str = Field(default=".venv-vllm/bin/python", description="The interpreter vLLM is installed for.")
    environment: dict[str, str] = Field(default={}, description="Environment variables for vLLM, over ours.")
    arguments: list[str] = Field(default=[], description="Further flags for vLLM's server, appended as they are.")

    @field_validator("instructions", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        return "off" if value is False else value  # YAML reads `off` as false

    @property
    def concurrency(self) -> int:
        """Requests inside vLLM at a time."""
        return self.limit_worker_concurrency or self.max_num_seqs or _DEFAULT_CONCURRENCY


def read_vllm_options(spec: EngineSpec) -> VllmOptions:
    """The options of a spec.

    Raises:
        InvalidSetting: one is unknown, gone, out of range or contradicts another; says what to do.
    """
    for name in spec.options:
        if name in REMOVED:
            raise InvalidSetting(setting=option_path(spec, name), reason=f"vLLM has it no longer; {REMOVED[name]}")
    options = read_options(spec, VllmOptions)
    _check_length(spec, options)
    _check_gpus(spec, options)
    _check_address(spec, options)
    return options


def gpus_per_stage(spec: EngineSpec, options: VllmOptions) -> int:
    """The tensor parallel size: raised to what num_gpus asks for, as in 0.2.x."""
    wanted = options.num_gpus or len(spec.gpus) or 1
    return max(options.tensor_parallel_size, wanted // options.pipeline_parallel_size)


def _check_length(spec: EngineSpec, options: VllmOptions) -> None:
    if options.max_model_len not in {None, spec.context_tokens}:
        reason = (
            f"it says {options.max_model_len}, but context_tokens of the model's entry says {spec.context_tokens}, and "
            "the whole stack goes by that; set context_tokens and leave max_model_len out"
        )
        raise InvalidSetting(setting=option_path(spec, "max_model_len"), reason=reason)


def _check_gpus(spec: EngineSpec, options: VllmOptions) -> None:
    if not spec.gpus:
        return
    listed = len(spec.gpus)
    if (options.num_gpus or 1) > listed:
        reason = f"it says {options.num_gpus}, but this replica has {listed} ({','.join(spec.gpus)})"
        raise InvalidSetting(setting=option_path(spec, "num_gpus"), reason=reason)
    needed = gpus_per_stage(spec, options) * options.pipeline_parallel_size
    if needed > listed:
        reason = f"with pipeline_parallel_size it needs {needed} GPUs, but this replica has {listed}"
        raise InvalidSetting(setting=option_path(spec, "tensor_parallel_size"), reason=reason)


def _check_address(spec: EngineSpec, options: VllmOptions) -> None:
    if spec.host in {"0.0.0.0", "::"} and options.public_url is None:  # noqa: S104 - compared, not bound
        reason = f"server.worker.host is {spec.host}, which nobody can call; set it, and server_port with it"
        raise InvalidSetting(setting=option_path(spec, "public_url"), reason=reason)
