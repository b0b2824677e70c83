"""Spec, options and weights → the command line and environment of vLLM's server. Pure; called by `engine`."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from services.foundation.errors import InvalidSetting
from services.worker.engines.base import EngineSpec
from services.worker.engines.local.instructions import Asked, Instructions, instructions_for
from services.worker.engines.local.vllm.middleware.plan import VARIABLE, MiddlewarePlan
from services.worker.engines.local.vllm.options import VllmOptions, gpus_per_stage
from services.worker.engines.options import option_path
from services.worker.fastchat_prompt import CONVERSATION

ROOT = Path(__file__).resolve().parents[5]
_CACHE = ROOT / ".cache" / "vllm"
_PLUGIN = Path(__file__).parent / "plugin"
_MIDDLEWARE = "services.worker.engines.local.vllm.middleware.WorkerMiddleware"
_VALUES = (
    "tokenizer_mode",
    "tokenizer_revision",
    "load_format",
    "revision",
    "dtype",
    "quantization",
    "seed",
    "pipeline_parallel_size",
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "kv_cache_dtype",
    "block_size",
    "max_num_seqs",
    "max_num_batched_tokens",
    "max_log_len",
    "tool_strict_level",
    "reasoning_parser",
)
"""Options vLLM knows by the same name, as flags with a value."""
_SWITCHES = ("trust_remote_code", "enforce_eager", "disable_log_stats")
_TASKS: Mapping[str, tuple[str, ...]] = {
    "chat": (),
    "embedding": ("--runner", "pooling", "--convert", "embed"),
    "rerank": ("--runner", "pooling", "--convert", "classify"),
}
_NO_DOMAIN = "none.invalid"
_MOST_CHOICES = 16  # as our wire's `n`


@dataclass(frozen=True, slots=True)
class Command:
    """What to run.

    Attributes:
        arguments: the program and its arguments.
        environment: variables over those of this process.
        url: where the server will listen, as this machine reaches it.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    url: str


def command_for(spec: EngineSpec, options: VllmOptions, weights: Path, port: int) -> Command:
    """The command that serves these weights on this port.

    Raises:
        InvalidSetting: a file or template an option names does not exist.
    """
    arguments = (
        str(interpreter(options)),
        *("-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(weights)),
        *("--served-model-name", spec.model),
        *("--host", spec.host),
        *("--port", str(port)),
        *("--max-model-len", str(spec.context_tokens)),
        *("--middleware", _MIDDLEWARE),
        *("--disable-uvicorn-access-log", "--disable-fastapi-docs"),
        *_TASKS[spec.task],
        *_flags(spec, options),
        *options.arguments,
    )
    return Command(arguments, environment_for(spec, options, weights), f"http://{_callable(spec.host)}:{port}")


def environment_for(spec: EngineSpec, options: VllmOptions, weights: Path) -> dict[str, str]:
    """What vLLM's processes need to know; no network but loopback, nothing written outside of the repository."""
    variables = {
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(_PLUGIN))),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        "VLLM_MAX_N_SEQUENCES": str(_MOST_CHOICES),
        "VLLM_CACHE_ROOT": str(_CACHE),
        "TORCHINDUCTOR_CACHE_DIR": str(_CACHE / "inductor"),
        "TRITON_CACHE_DIR": str(_CACHE / "triton"),
        VARIABLE: _plan(spec, options, weights).to_json(),
    }
    if spec.gpus:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(spec.gpus)
    return variables | options.environment


def interpreter(options: VllmOptions) -> Path:
    """The Python of vLLM's own environment; a relative path starts at the repository."""
    return ROOT / options.python  # an absolute one replaces the root


def _flags(spec: EngineSpec, options: VllmOptions) -> Iterator[str]:
    yield from ("--tensor-parallel-size", str(gpus_per_stage(spec, options)))
    yield from ("--allowed-media-domains", *(options.media_domains or [_NO_DOMAIN]))
    yield from ("--structured-outputs-config", json.dumps({"backend": options.structured_outputs}))
    for name in _VALUES:
        value = getattr(options, name)
        if value is not None:
            yield from (_flag(name), str(value))
    for name in _SWITCHES:
        if getattr(options, name):
            yield _flag(name)
    yield from _conditional(spec, options)


def _conditional(spec: EngineSpec, options: VllmOptions) -> Iterator[str]:
    if options.enable_prefix_caching is not None:
        yield "--enable-prefix-caching" if options.enable_prefix_caching else "--no-enable-prefix-caching"
    if options.worker_use_ray:
        yield from ("--distributed-executor-backend", "ray")
    if options.tokenizer is not None:
        yield from ("--tokenizer", _tokenizer(spec, options.tokenizer))
    if options.chat_template is not None:
        yield from ("--chat-template", _template_file(spec, options.chat_template))
    if options.tool_call_parser is not None:
        yield from ("--enable-auto-tool-choice", "--tool-call-parser", options.tool_call_parser)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _tokenizer(spec: EngineSpec, name: str) -> str:
    folder = spec.model_dir / name
    return str(folder.absolute()) if folder.is_dir() else name


def _template_file(spec: EngineSpec, name: str) -> str:
    file = ROOT / name
    if not file.is_file():
        reason = f"there is no file {file}"
        raise InvalidSetting(setting=option_path(spec, "chat_template"), reason=reason)
    return str(file)


def _plan(spec: EngineSpec, options: VllmOptions, weights: Path) -> MiddlewarePlan:
    asked = Asked(options.instructions, options.query_instruction, options.passage_instruction)
    found = instructions_for(weights, [options.path, spec.model], asked) if spec.task == "embedding" else Instructions()
    return MiddlewarePlan(
        model=spec.model,
        task=spec.task,
        context_tokens=spec.context_tokens,
        concurrency=options.concurrency,
        waiting_limit=options.waiting_limit,
        query_instruction=found.query,
        passage_instruction=found.passage,
        other_instruction=found.other,
        conversation=conversation_of(spec, options.conv_template),
        is_chatml=options.conv_template is None,
    )


def conversation_of(spec: EngineSpec, name: str | None) -> dict[str, JsonValue]:
    """FastChat's conversation template of this name; without one, ours.

    Raises:
        InvalidSetting: FastChat does not know it.
    """
    if name is None:
        return CONVERSATION
    from fastchat.conversation import conv_templates

    if name not in conv_templates:
        reason = f"FastChat has no conversation template {name!r}; known: {', '.join(sorted(conv_templates))}"
        raise InvalidSetting(setting=option_path(spec, "conv_template"), reason=reason)
    found: dict[str, JsonValue] = dataclasses.asdict(conv_templates[name])
    return found


def _callable(host: str) -> str:
    """An address for a listening host: the wildcards listen on loopback too."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
