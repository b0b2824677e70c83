"""Spec, options and weights → vLLM's command line and environment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from services.foundation.errors import InvalidSetting
from services.worker.engines.base import EngineSpec
from services.worker.engines.local.vllm.arguments import ROOT, Command, command_for
from services.worker.engines.local.vllm.middleware.plan import VARIABLE, MiddlewarePlan
from services.worker.engines.local.vllm.options import read_vllm_options
from tests.unit.worker.vllm.making import spec

WEIGHTS = Path("/models/qwen")


def command(asked: EngineSpec | None = None, **options: Any) -> Command:
    asked = asked or spec(**options)
    return command_for(asked, read_vllm_options(asked), WEIGHTS, 9000)


def value(made: Command, flag: str) -> str:
    return made.arguments[made.arguments.index(flag) + 1]


def test_what_is_always_said():
    made = command()
    assert made.arguments[:3] == (str(ROOT / ".venv-vllm/bin/python"), "-m", "vllm.entrypoints.openai.api_server")
    assert value(made, "--model") == "/models/qwen"
    assert value(made, "--served-model-name") == "m"
    assert (value(made, "--host"), value(made, "--port"), made.url) == ("127.0.0.1", "9000", "http://127.0.0.1:9000")
    assert value(made, "--max-model-len") == "4096", "the length the rest of the stack goes by"
    assert value(made, "--tensor-parallel-size") == "1"
    assert value(made, "--allowed-media-domains") == "none.invalid", "no image is fetched from anywhere"
    assert json.loads(value(made, "--structured-outputs-config")) == {"backend": "auto"}
    for absent in ("--trust-remote-code", "--enable-prompt-embeds", "--gpu-memory-utilization", "--enforce-eager"):
        assert absent not in made.arguments


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({"gpu_memory_utilization": 0.9}, ["--gpu-memory-utilization", "0.9"]),
        ({"max_num_seqs": 512}, ["--max-num-seqs", "512"]),
        ({"max_num_batched_tokens": 8192}, ["--max-num-batched-tokens", "8192"]),
        ({"kv_cache_memory_bytes": "256M"}, ["--kv-cache-memory-bytes", "256M"]),
        ({"quantization": "awq"}, ["--quantization", "awq"]),
        ({"trust_remote_code": True}, ["--trust-remote-code"]),
        ({"enable_prefix_caching": False}, ["--no-enable-prefix-caching"]),
        ({"worker_use_ray": True}, ["--distributed-executor-backend", "ray"]),
        ({"tool_call_parser": "hermes"}, ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]),
        ({"reasoning_parser": "qwen3"}, ["--reasoning-parser", "qwen3"]),
        ({"num_gpus": 2}, ["--tensor-parallel-size", "2"]),
        ({"media_domains": ["images.example"]}, ["--allowed-media-domains", "images.example"]),
        ({"tokenizer": "Qwen/Qwen3"}, ["--tokenizer", "Qwen/Qwen3"]),
        ({"chat_template": "README.md"}, ["--chat-template", str(ROOT / "README.md")]),
    ],
)
def test_an_option_is_passed_as_vllm_calls_it_today(options: dict[str, Any], flags: list[str]):
    made = command(**options).arguments
    begin = made.index(flags[0])
    assert list(made[begin : begin + len(flags)]) == flags


def test_further_arguments_come_last():
    assert command(arguments=["--seed", "7"]).arguments[-2:] == ("--seed", "7")


@pytest.mark.parametrize(("task", "convert"), [("embedding", "embed"), ("rerank", "classify")])
def test_embedding_and_rerank_models_are_pooled(task: str, convert: str):
    made = command(spec(task=task))
    assert (value(made, "--runner"), value(made, "--convert")) == ("pooling", convert)


def test_a_missing_template_is_named():
    with pytest.raises(InvalidSetting, match=r"chat_template.*no file .*/absent\.jinja"):
        command(chat_template="absent.jinja")


def test_the_environment_keeps_vllm_at_home():
    made = command(spec(gpus=("2", "3"), environment={"OMP_NUM_THREADS": "1"})).environment
    assert made["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert made["HF_HUB_OFFLINE"] == made["VLLM_NO_USAGE_STATS"] == made["OMP_NUM_THREADS"] == "1"
    assert made["VLLM_MAX_N_SEQUENCES"] == "16"
    assert made["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT)
    for name in ("VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        assert Path(made[name]).is_relative_to(ROOT / ".cache")
    assert "CUDA_VISIBLE_DEVICES" not in command().environment


def plan(asked: EngineSpec) -> MiddlewarePlan:
    return MiddlewarePlan.from_json(command(asked).environment[VARIABLE])


def test_the_plan_of_the_middleware_travels_in_the_environment():
    made = plan(spec(max_num_seqs=8, waiting_limit=3))
    assert (made.model, made.task, made.concurrency, made.waiting_limit) == ("m", "chat", 8, 3)
    assert (made.context_tokens, made.is_chatml, made.conversation["sep"]) == (4096, True, "<|im_end|>")
    fastchats = plan(spec(conv_template="vicuna_v1.1"))
    assert (fastchats.is_chatml, fastchats.conversation["name"]) == (False, "vicuna_v1.1")


def test_an_embedding_model_gets_its_familys_instructions_unless_the_options_say_others():
    assert plan(spec(task="embedding", path="intfloat/e5-small")).query_instruction == "query: "
    assert plan(spec(task="embedding", path="intfloat/e5-small", query_instruction="q ")).query_instruction == "q "
    assert plan(spec(task="embedding", path="intfloat/e5-small", instructions="off")).query_instruction == ""


def test_an_ipv6_host_is_written_as_urls_write_it():
    assert command(spec(host="::1")).url == "http://[::1]:9000"
