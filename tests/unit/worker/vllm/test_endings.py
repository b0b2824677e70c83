"""Why vLLM's server did not start, by what vLLM 0.32 really writes."""

from __future__ import annotations

from typing import Any

import pytest

from services.foundation.errors import EngineFailed, InvalidSetting, OutOfMemory
from services.worker.engines.local.vllm.endings import failure_to_start
from services.worker.engines.local.vllm.options import read_vllm_options
from tests.unit.worker.vllm.making import spec

ENDING = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
CORE = "(EngineCore pid=21296) ERROR 11-21 10:24:11 [core.py:1510] "


def failure(*lines: str, code: int | None = 1, **options: Any):
    asked = spec(**options)
    return failure_to_start(asked, read_vllm_options(asked), code, lines)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            (
                f"{CORE}ValueError: No available memory for the cache blocks. Try `gpu_memory_utilization` when "
                "initializing the engine. See https://docs.vllm.ai/en/latest/x/ for more details."
            ),
            "No available memory for the cache blocks",
        ),
        (
            (
                "ValueError: To serve at least one request with the model's max seq len (8192), (1.0 GiB KV cache "
                "is needed, which is larger than the available KV cache memory (0.5 GiB). Based on the available "
                "memory, the estimated maximum model length is 4096."
            ),
            "estimated maximum model length is 4096",
        ),
        (
            (
                "ValueError: Free memory on device cuda:0 (3.2/44.4 GiB) on startup is less than desired GPU memory "
                "utilization (0.9, 39.96 GiB). Decrease GPU memory utilization."
            ),
            "3.2/44.4 GiB",
        ),
        (
            (
                "ValueError: Available memory on node 0 (20.51/22.21 GiB) on startup is less than desired CPU memory "
                "utilization (0.99, 21.99 GiB)."
            ),
            "20.51/22.21 GiB",
        ),
        (
            (
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity "
                "of 44.40 GiB of which 12.00 MiB is free."
            ),
            "total capacity of 44.40 GiB",
        ),
    ],
)
def test_memory_is_named_with_the_numbers(line: str, told: str):
    found = failure("Loading", line, "  at ...", ENDING, gpu_memory_utilization=0.9)
    assert isinstance(found, OutOfMemory)
    assert told in str(found)
    assert "asked for: context_tokens 4096, gpu_memory_utilization 0.9" in str(found)
    assert "https://" not in str(found)


@pytest.mark.parametrize(
    ("line", "setting", "told"),
    [
        ("api_server.py: error: unrecognized arguments: --max-paddings", "arguments", "--max-paddings"),
        ("api_server.py: error: argument --quantization/-q: invalid choice: 'x'", "quantization", "invalid choice"),
        ("api_server.py: error: argument --block-size: invalid int value: 'x'", "block_size", "invalid int"),
        ("OSError: [Errno 98] Address already in use", "server_port", "something else listens"),
    ],
)
def test_a_wrong_flag_is_the_option_it_came_from(line: str, setting: str, told: str):
    found = failure("usage: …", line, code=2)
    assert isinstance(found, InvalidSetting)
    assert found.facts["setting"] == f"models.served.m.options.{setting}"
    assert told in str(found)


def test_a_model_that_takes_less_says_how_much():
    found = failure(
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
        "  Value error, User-specified max_model_len (4096) is greater than the derived max_model_len "
        "(max_position_embeddings=1024.0 or model_max_length=None in model's config.json). To allow overriding …",
    )
    assert isinstance(found, InvalidSetting)
    assert found.facts["setting"] == "models.served.m.context_tokens"
    assert "at most 1024 tokens, but 4096" in str(found)


def test_a_value_that_vllm_refuses_is_a_setting():
    found = failure(
        "  Value error, Unknown quantization method: x. Must be one of […]. [type=value_error, input_value=Args(…)]"
    )
    assert isinstance(found, InvalidSetting)
    assert str(found).endswith("vLLM says: Unknown quantization method: x. Must be one of […].")


def test_anything_else_is_the_engines_failure_in_its_own_words():
    found = failure(f"{CORE}KeyError: 'model.layers.0'", "ValueError: There is no module 'x'", ENDING)
    assert isinstance(found, EngineFailed)
    assert "ValueError: There is no module 'x'" in str(found)


def test_a_signal_is_named():
    assert "SIGKILL" in str(failure("Loading", code=-9))
    assert "run out of memory" in str(failure(code=-9))


def test_leaving_without_a_word_is_a_failure_too():
    assert "left with code 0 while it started: bye" in str(failure("bye", code=0))
