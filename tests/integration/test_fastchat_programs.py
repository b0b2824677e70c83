"""FastChat's own programs and ours, each in the other's place, over a tiny model that the test makes.

Its workers join our controller and are served by our gateway; our worker joins its controller and is served by its
OpenAI server. The official client asks. A scripted FastChat worker, and failures mid-stream: test_fastchat_interop.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from services.controller.app import create_app as create_controller
from services.foundation.settings.tree import Server
from tests.integration.fastchat_programs import (
    CONTEXT_TOKENS,
    PYTHON,
    ROOT,
    Program,
    fastchat_controller,
    fastchat_model_worker,
    fastchat_openai_server,
    fastchat_stack,
    fastchat_vllm_worker,
    running,
)
from tests.integration.test_fastchat_interop import gateway, listed
from tests.live import free_port, serve
from tests.tiny_models import make_chat_model

NAME = "tiny"
ANSWER_TOKENS = 16
ASKED: dict[str, Any] = {"model": NAME, "messages": [{"role": "user", "content": "你好 hello"}], "temperature": 0}
WORKERS = {"model_worker": fastchat_model_worker, "vllm_worker": fastchat_vllm_worker}
VLLM_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "TORCHDYNAMO_DISABLE": "1"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_chat_model(tmp_path_factory.mktemp("models") / "tiny-chat")


@pytest.mark.parametrize("worker", WORKERS)
async def test_fastchats_worker_behind_our_controller_is_served_by_our_gateway(
    tmp_path: Path, model: Path, worker: str
):
    async with (
        serve(create_controller(Server(request_timeout_seconds=30))) as controller,
        WORKERS[worker](tmp_path, controller, model, name=NAME),
        gateway(controller) as client,
    ):
        await listed(client, NAME)
        await answers_alike(client, with_usage=True)
        text = await client.completions.create(model=NAME, prompt="def f(", max_tokens=4, temperature=0)
        assert text.choices[0].text
        await refuses_what_is_too_long(client)
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.chat.completions.create(**ASKED | {"model": "absent"})
        assert unknown.value.code == "model_not_found"
        tools: Any = [{"type": "function", "function": {"name": "f"}}]
        with pytest.raises(openai.BadRequestError) as no_tools:
            await client.chat.completions.create(**ASKED, tools=tools)
        assert no_tools.value.param == "tools", "what FastChat's wire cannot carry is refused, not dropped"
        await answers_alike(client, with_usage=True)


async def answers_alike(client: openai.AsyncOpenAI, *, with_usage: bool = False, expected: str | None = None) -> None:
    """Whole and streamed, the answer is the same, and it is counted."""
    whole = await client.chat.completions.create(**ASKED, max_tokens=ANSWER_TOKENS)
    said = whole.choices[0].message.content
    assert said
    assert expected is None or said == expected
    assert whole.choices[0].finish_reason in {"length", "stop"}
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert whole.usage.completion_tokens <= ANSWER_TOKENS
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if with_usage else {}
    stream = await client.chat.completions.create(**ASKED, max_tokens=ANSWER_TOKENS, stream=True, **options)
    events = [event async for event in stream]
    deltas = [event.choices[0].delta.content for event in events if event.choices]
    assert "".join(delta or "" for delta in deltas) == said
    assert events[0].choices[0].delta.role == "assistant"
    reasons = [event.choices[0].finish_reason for event in events if event.choices]
    assert reasons[-1] == whole.choices[0].finish_reason
    if with_usage:
        assert events[-1].usage == whole.usage


async def refuses_what_is_too_long(client: openai.AsyncOpenAI) -> None:
    long = [{"role": "user", "content": "word " * (CONTEXT_TOKENS + 500)}]
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(**ASKED | {"messages": long}, stream=stream)
        assert refused.value.code == "context_length_exceeded"
        assert str(CONTEXT_TOKENS) in refused.value.message


def served(engine: str, model: Path) -> dict[str, Any]:
    """models.yaml's entries for our worker."""
    options: dict[str, dict[str, Any]] = {
        "echo": {"pieces": 200},
        "transformers": {"path": str(model), "device": "cpu"},
        "vllm": {
            "path": str(model),
            "python": str(PYTHON),
            "enforce_eager": True,
            "kv_cache_memory_bytes": "256M",
            "arguments": ["--distributed-executor-backend", "uni"],
            "environment": VLLM_ENVIRONMENT,
        },
    }
    chat = {"task": "chat", "engine": engine, "context_tokens": CONTEXT_TOKENS, "options": options[engine]}
    return {NAME: chat, "vectors": {"task": "embedding", "engine": "echo"}}


@asynccontextmanager
async def our_worker(folder: Path, controller: Program, entries: dict[str, Any], *run: str) -> AsyncIterator[Program]:
    """`python -m services.worker` with some of the entries, listed by FastChat's controller."""
    configs = folder / "configs"
    configs.mkdir()
    models = {"default_chat": NAME, "default_embedding": "vectors", "model_dir": str(folder), "served": entries}
    (configs / "models.yaml").write_text(json.dumps(models), encoding="utf-8")
    (configs / "server.yaml").write_text(json.dumps({"heartbeat_seconds": 0.5}), encoding="utf-8")
    port = free_port()
    flags = ["--models", *run, "--port", str(port), "--controller", controller.url]
    command = [sys.executable, "-m", "services.worker", *flags]
    environment = {"PYTHONPATH": str(ROOT), "CHATCHAT_CONFIG_DIR": str(configs)}
    async with running("our-worker", command, folder, port, environment) as worker:
        await known_to(controller, set(run), worker)
        yield worker


async def known_to(controller: Program, models: set[str], worker: Program) -> None:
    async with asyncio.timeout(120), httpx.AsyncClient(trust_env=False, timeout=30) as http:
        while set((await http.post(f"{controller.url}/list_models")).json()["models"]) != models:
            assert worker.process.poll() is None, worker.log.read_text(errors="replace")[-4000:]
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("engine", ["echo", "transformers", "vllm"])
async def test_our_worker_behind_fastchats_controller_is_served_by_fastchats_server(
    tmp_path: Path, model: Path, engine: str
):
    run = {NAME} if engine == "vllm" else {NAME, "vectors"}  # vLLM's own server is the whole worker
    async with (
        fastchat_controller(tmp_path) as controller,
        our_worker(tmp_path, controller, served(engine, model), *run),
        fastchat_openai_server(tmp_path, controller.url) as server,
        openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60) as client,
    ):
        assert {card.id for card in (await client.models.list()).data} == run
        await answers_alike(client, expected="你好 hello" if engine == "echo" else None)
        if "vectors" in run:
            found = (await client.embeddings.create(model="vectors", input=["a", "b", "a"])).data
            assert found[0].embedding == found[2].embedding != found[1].embedding
        long = [{"role": "user", "content": "word " * 3 * CONTEXT_TOKENS}]
        with pytest.raises(openai.BadRequestError, match=f"maximum context length is {CONTEXT_TOKENS} tokens"):
            await client.chat.completions.create(**ASKED | {"messages": long}, max_tokens=ANSWER_TOKENS)
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(**ASKED | {"model": "absent"})
        assert {card.id for card in (await client.models.list()).data} == run, "it is still there"


async def test_fastchats_whole_path_answers(tmp_path: Path, model: Path):
    """What the benches measure ours against."""
    async with (
        fastchat_stack(tmp_path, model) as stack,
        openai.AsyncOpenAI(base_url=stack.base_url, api_key="none", max_retries=0, timeout=60) as client,
    ):
        assert len(set(stack.pids.values())) == 3
        whole = await client.chat.completions.create(**ASKED, max_tokens=ANSWER_TOKENS)
        stream = await client.chat.completions.create(**ASKED, max_tokens=ANSWER_TOKENS, stream=True)
        pieces = [event.choices[0].delta.content or "" async for event in stream if event.choices]
        assert "".join(pieces) == whole.choices[0].message.content != ""
