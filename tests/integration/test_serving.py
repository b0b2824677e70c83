"""The serving plane whole: `startup.py` runs two replicas of a real vLLM model; the official client, attacks, kills."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import openai
import psutil
import pytest
import yaml

from tests.stack import ROOT, Stack
from tests.tiny_models import make_chat_model

VLLM = ROOT / ".venv-vllm" / "bin" / "python"
BACK_SECONDS = 60.0
STREAMS = 20
pytestmark = pytest.mark.skipif(not VLLM.exists(), reason="vLLM's environment is not installed: make vllm")


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Controller, gateway and two vLLM workers, in the profile for small machines that the product ships."""
    folder = tmp_path_factory.mktemp("serving")
    configs = folder / "configs"
    configs.mkdir()
    shipped = yaml.safe_load((ROOT / "configs" / "models.yaml").read_text(encoding="utf-8"))
    tiny = {
        "task": "chat",
        "engine": "vllm",
        "replicas": 2,
        "context_tokens": 1024,
        "options": {"path": str(make_chat_model(folder / "tiny"))},
    }
    models = {
        "default_chat": "tiny",
        "default_embedding": "vectors",
        "profile": "cpu",
        "profiles": shipped["profiles"],
        "served": {"tiny": tiny, "vectors": {"task": "embedding", "engine": "echo"}},
    }
    (configs / "models.yaml").write_text(json.dumps(models), encoding="utf-8")
    (configs / "server.yaml").write_text("{}", encoding="utf-8")
    stack = Stack(
        folder,
        flags=("--llm-api",),
        environment={"CHATCHAT_CONFIG_DIR": str(configs)},
        ready_limit_seconds=240,
        webui=False,
        api_wanted=False,
        expects=("tiny", "vectors"),
        workers=4,
    )
    with stack:
        wait_for_replicas(stack, 2, limit_seconds=120)
        yield stack


@pytest.fixture
async def client(serving: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{serving.gateway}/v1", api_key="none", max_retries=0, timeout=60
    ) as opened:
        yield opened


def replicas(stack: Stack) -> list[str]:
    """Addresses of the live replicas, as the controller's leases tell."""
    leases = httpx.get(f"http://127.0.0.1:{stack.ports['controller']}/leases", trust_env=False, timeout=5).json()
    return [lease["worker"] for lease in leases["leases"] if "tiny" in lease["status"]["model_names"]]


def wait_for_replicas(stack: Stack, count: int, *, limit_seconds: float) -> float:
    began = time.monotonic()
    while len(replicas(stack)) != count:
        assert time.monotonic() - began < limit_seconds, replicas(stack)
        time.sleep(0.2)
    return time.monotonic() - began


def victim(stack: Stack, part: str) -> psutil.Process:
    """A process of the first replica: vLLM's API server, or the engine core beneath it."""
    (server,) = stack.processes()["worker-tiny"].children()
    if part == "server":
        return server
    return next(child for child in server.children(recursive=True) if "EngineCore" in " ".join(child.cmdline()))


async def long_stream(client: openai.AsyncOpenAI) -> tuple[int, Exception | None]:
    """Chunks received, and what ended the stream early."""
    chunks = 0
    try:
        stream = await client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": "tell me"}],
            max_tokens=900,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        async for _ in stream:
            chunks += 1
    except openai.APIError as failure:
        return chunks, failure
    return chunks, None


async def short_answer(client: openai.AsyncOpenAI) -> float:
    began = time.monotonic()
    answer = await client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "hello"}], max_tokens=3
    )
    assert answer.choices[0].finish_reason in {"length", "stop"}
    return time.monotonic() - began


@pytest.mark.parametrize("part", ["core", "server"])
async def test_a_killed_engine_ends_its_streams_typed_and_comes_back(
    serving: Stack, client: openai.AsyncOpenAI, part: str
):
    """T76: and a request that comes with another replica alive never sees it."""
    await asyncio.sleep(2)  # the gateway renews its table about once a second
    streams = [asyncio.create_task(long_stream(client)) for _ in range(STREAMS)]
    await asyncio.sleep(1.5)
    assert not any(stream.done() for stream in streams)

    victim(serving, part).kill()
    killed = time.monotonic()
    answered = 0
    while time.monotonic() - killed < 8:
        await short_answer(client)
        answered += 1
    outcomes = await asyncio.gather(*streams)
    broken = [failure for _, failure in outcomes if failure is not None]
    whole = [chunks for chunks, failure in outcomes if failure is None]

    assert answered >= 3
    assert broken, "the killed replica was serving some of them"
    assert whole, "the other replica went on"
    assert {getattr(failure, "code", None) for failure in broken} <= {"worker_lost", "model.engine_failed"}
    assert all(failure.body["chatchat"]["code"] for failure in broken)  # type: ignore[attr-defined]
    await asyncio.to_thread(wait_for_replicas, serving, 2, limit_seconds=BACK_SECONDS - (time.monotonic() - killed))
    back_seconds = time.monotonic() - killed
    print(f"killed the {part}: {len(broken)} streams ended, {len(whole)} went on, back in {back_seconds:.1f} s")


HOSTILE: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "empty prompt": ("/v1/completions", {"prompt": ""}, "prompt"),
    "no messages": ("/v1/chat/completions", {"messages": []}, "messages"),
    "negative tokens": ("/v1/chat/completions", {"max_tokens": -1}, "max_tokens"),
    "no tokens": ("/v1/chat/completions", {"max_tokens": 0}, "max_tokens"),
    "10^9 tokens": ("/v1/chat/completions", {"max_tokens": 10**9}, "max_tokens"),
    "a thousand choices": ("/v1/chat/completions", {"n": 1000}, "n"),
    "best of a thousand": ("/v1/completions", {"prompt": "hi", "best_of": 1000}, "best_of"),
    "logprobs of a million": ("/v1/chat/completions", {"logprobs": True, "top_logprobs": 10**6}, "top_logprobs"),
    "10^5 stop strings": ("/v1/chat/completions", {"stop": [f"s{n}" for n in range(10**5)]}, "stop"),
    "boiling": ("/v1/chat/completions", {"temperature": 1e300}, "temperature"),
    "no model repository's schema": (
        "/v1/chat/completions",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nope"}}}},
        None,
    ),
    "an image that lies": (
        "/v1/chat/completions",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}],
                }
            ]
        },
        "messages",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_cannot_be_answered_is_refused_by_name_and_hurts_nobody(
    serving: Stack, client: openai.AsyncOpenAI, name: str
):
    """T72."""
    path, fields, field = HOSTILE[name]
    body = {"model": "tiny", "max_tokens": 4, **fields}
    if path.endswith("chat/completions"):
        body.setdefault("messages", [{"role": "user", "content": "hi"}])
    async with httpx.AsyncClient(base_url=serving.gateway, trust_env=False, timeout=30) as http:
        answer = await http.post(path, json=body)

    assert answer.status_code == 400, answer.text[:300]
    if field is not None:
        assert answer.json()["error"]["param"].startswith(field), answer.text[:300]
    assert await short_answer(client) < 2.0


async def test_not_a_number_is_no_temperature(serving: Stack, client: openai.AsyncOpenAI):
    body = '{"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "temperature": NaN}'
    async with httpx.AsyncClient(base_url=serving.gateway, trust_env=False, timeout=30) as http:
        answer = await http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 400
    assert await short_answer(client) < 2.0


async def test_a_million_tokens_are_refused_with_numbers(client: openai.AsyncOpenAI):
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "many words " * 500_000}], max_tokens=5
        )

    assert refused.value.code == "context_length_exceeded"
    assert "1024" in refused.value.message
    assert await short_answer(client) < 2.0


async def test_ever_new_schemas_do_not_fill_the_memory(serving: Stack, client: openai.AsyncOpenAI):
    """T73: compiled grammars are cached with a limit."""
    core = [victim(serving, "core")]

    async def with_schema(number: int) -> None:
        schema = {
            "type": "object",
            "properties": {f"field{number}": {"type": "integer"}},
            "additionalProperties": False,
        }
        await client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": "hi"}],
            max_tokens=2,
            response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
        )

    async def many(first: int, count: int) -> None:
        for start in range(first, first + count, 10):
            await asyncio.gather(*(with_schema(number) for number in range(start, start + 10)))

    await many(0, 100)
    before = sum(process.memory_info().rss for process in core)
    await many(1000, 300)
    grown = sum(process.memory_info().rss for process in core) - before

    assert grown < 60e6, f"{grown / 1e6:.0f} MB for 300 schemas"
