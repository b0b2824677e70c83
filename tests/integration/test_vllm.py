"""The vllm engine with the real vLLM: our worker processes, controller and gateway, driven by OpenAI's own client."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from services.foundation.errors import ChatchatError
from services.worker.engines import ENGINES
from services.worker.engines.base import EngineSpec
from tests.integration.vllm_worker import (
    CHAT,
    EMBEDDER,
    PROFILE,
    PYTHON,
    Processes,
    address,
    gateway,
    gauge,
    needs_vllm,
    processes,
    until,
)
from tests.tiny_models import CONTEXT_TOKENS

pytestmark = needs_vllm

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]{1,12}$"},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "function": {"name": "person", "description": "A person.", "parameters": SCHEMA}}
PROMPT = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with processes(tmp_path_factory.mktemp("vllm")) as running:
        yield running


@pytest.fixture
async def client(started: Processes) -> AsyncIterator[openai.AsyncOpenAI]:
    async with gateway(started) as made:
        yield made


@pytest.fixture(scope="module")
def no_whitespace(started: Processes) -> dict[str, int]:
    """A random model pads its JSON with whitespace for ever; this bias keeps it from that."""
    vocabulary = json.loads((started.folder / "chat" / "tokenizer.json").read_text())["model"]["vocab"]
    blank = {"Ġ", "Ċ", "ĉ", "č"}
    return {str(number): -100 for token, number in vocabulary.items() if set(token) <= blank}


def asking(content: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"model": CHAT, "messages": [{"role": "user", "content": content}], "max_tokens": 8, **fields}


async def test_both_models_are_listed_and_answer_whole_and_as_a_stream_with_usage(client: openai.AsyncOpenAI):
    assert {model.id for model in (await client.models.list()).data} == {CHAT, EMBEDDER}
    whole = await client.chat.completions.create(**asking(seed=7))
    assert whole.usage.completion_tokens == 8
    assert whole.choices[0].finish_reason == "length"
    stream = await client.chat.completions.create(**asking(seed=7), stream=True, stream_options={"include_usage": True})
    events = [event async for event in stream]
    text = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
    assert text == whole.choices[0].message.content, "the same seed, the same answer"
    assert events[-1].usage.total_tokens == whole.usage.total_tokens
    assert len(events) > 5


async def test_n_stop_seed_and_logprobs(client: openai.AsyncOpenAI):
    two = await client.chat.completions.create(**asking(n=2, seed=3))
    assert len({choice.message.content for choice in two.choices}) == 2
    again = await client.chat.completions.create(**asking(n=2, seed=3))
    assert [choice.message.content for choice in again.choices] == [choice.message.content for choice in two.choices]
    word = (two.choices[0].message.content or "")[3:6]
    stopped = await client.chat.completions.create(**asking(seed=3, stop=[word], n=2))
    assert word not in (stopped.choices[0].message.content or "")
    assert stopped.choices[0].finish_reason == "stop"
    weighed = await client.chat.completions.create(**asking(logprobs=True, top_logprobs=3))
    tokens = weighed.choices[0].logprobs.content
    assert len(tokens) == 8
    assert all(len(token.top_logprobs) == 3 and token.logprob <= 0 for token in tokens)


async def test_a_named_tool_is_called_with_arguments_of_its_schema(client: openai.AsyncOpenAI, no_whitespace):
    chosen: Any = {"type": "function", "function": {"name": "person"}}
    asked = asking(tools=[TOOL], tool_choice=chosen, max_tokens=200, logit_bias=no_whitespace)
    answer = await client.chat.completions.create(**asked)
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "person"
    check(call.function.arguments)


async def test_a_schema_holds_in_twenty_of_twenty(client: openai.AsyncOpenAI, no_whitespace):
    """Half of them are for xgrammar; it cannot do a pattern with a length, so guidance does the others."""
    name = {**SCHEMA["properties"]["name"], "maxLength": 12}
    lengthy = {**SCHEMA, "properties": {**SCHEMA["properties"], "name": name}}
    asked = []
    for number in range(20):
        shape = {"type": "json_schema", "json_schema": {"name": "person", "schema": (SCHEMA, lengthy)[number % 2]}}
        fields = asking(response_format=shape, max_tokens=200, logit_bias=no_whitespace, seed=number)
        asked.append(client.chat.completions.create(**fields))
    for answer in await asyncio.gather(*asked):
        check(answer.choices[0].message.content or "")


def check(text: str) -> None:
    person = json.loads(text)
    assert set(person) == {"name", "age"}
    assert re.fullmatch("[a-z]{1,12}", person["name"])
    assert isinstance(person["age"], int)
    assert 0 <= person["age"] <= 99


async def test_too_long_says_how_long_and_what_cannot_be_is_named(client: openai.AsyncOpenAI):
    for words in (900, 60_000):
        with pytest.raises(openai.BadRequestError) as long:
            await client.chat.completions.create(**asking("x y z " * words))
        assert long.value.code == "context_length_exceeded"
        facts = long.value.body["chatchat"]["facts"]  # type: ignore[index]
        assert facts["limit"] == CONTEXT_TOKENS
        assert facts["tokens"] > words * 3 or facts["tokens"] > 6 * CONTEXT_TOKENS
    with pytest.raises(openai.BadRequestError) as many:
        await client.chat.completions.create(**asking(n=1000))
    assert many.value.param == "n"


async def test_embeddings_are_transformers_own(client: openai.AsyncOpenAI, started: Processes):
    texts = ["What is a JSON decoder?", "def inspect(source): return source", "x"]
    answer = await client.embeddings.create(model=EMBEDDER, input=texts, encoding_format="float")
    expected = await asyncio.to_thread(embedded, started.folder / "bert", texts)
    for item, vector in zip(answer.data, expected, strict=True):
        assert cosine(item.embedding, vector) > 0.999
    as_query = await client.embeddings.create(
        model=EMBEDDER, input=texts[0], encoding_format="float", extra_body={"input_type": "query"}
    )
    (instructed,) = await asyncio.to_thread(embedded, started.folder / "bert", [f"query: {texts[0]}"])
    assert cosine(as_query.data[0].embedding, instructed) > 0.999 > cosine(as_query.data[0].embedding, expected[0])
    with pytest.raises(openai.BadRequestError) as long:
        await client.embeddings.create(model=EMBEDDER, input="word " * 300, encoding_format="float")
    assert long.value.code == "context_length_exceeded"


def embedded(folder: Path, texts: list[str]) -> list[list[float]]:
    """By transformers: the mean of the last layer, normalised."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder)
    vectors = []
    with torch.inference_mode():
        for text in texts:
            mean = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
            vectors.append(torch.nn.functional.normalize(mean, dim=0).tolist())
    return vectors


def cosine(one: list[float], other: list[float]) -> float:
    lengths = math.sqrt(sum(x * x for x in one)) * math.sqrt(sum(x * x for x in other))
    return sum(x * y for x, y in zip(one, other, strict=True)) / lengths


async def test_a_client_that_leaves_is_seen_in_the_engines_own_gauge(client: openai.AsyncOpenAI, started: Processes):
    endless = asking(max_tokens=1000, stream=True, extra_body={"ignore_eos": True})
    streams = [await client.chat.completions.create(**endless) for _ in range(3)]
    for stream in streams:
        await anext(aiter(stream))

    async def running(count: int) -> bool:
        return await gauge(started, "num_requests_running") == count

    await until(lambda: running(3), 5)
    for stream in streams:
        await stream.close()
    assert await until(lambda: running(0), 1) < 1


async def test_a_long_answer_that_is_not_streamed_is_no_silence(client: openai.AsyncOpenAI, started: Processes):
    answer = asyncio.create_task(
        client.chat.completions.create(**asking(max_tokens=1000, n=16, extra_body={"ignore_eos": True}))
    )
    silences = []
    async with httpx.AsyncClient(base_url=await address(started, CHAT), timeout=30) as http:
        while not answer.done():
            await asyncio.sleep(0.2)
            silences.append((await http.get("/vitals")).json()["silent_seconds"])
    assert len((await answer).choices) == 16
    assert 0 < max(silences) < 4, "vLLM's own figures are looked at after two seconds"


async def test_fastchats_wire_is_spoken_by_vllms_own_server(started: Processes):
    async with httpx.AsyncClient(base_url=await address(started, CHAT), timeout=30) as http:
        status = (await http.post("/worker_get_status")).json()
        assert (status["model_names"], status["queue_length"]) == ([CHAT], 0)
        assert (await http.post("/model_details", json={})).json() == {"context_length": CONTEXT_TOKENS}
        assert (await http.post("/count_token", json={"prompt": "hello world"})).json()["count"] > 1
        assert (await http.post("/worker_get_conv_template", json={})).json()["conv"]["sep"] == "<|im_end|>"
        asked = {"model": CHAT, "prompt": PROMPT, "temperature": 0.7, "top_p": 1.0, "top_k": -1, "max_new_tokens": 6}
        streamed = (await http.post("/worker_generate_stream", json=asked)).content
        told = [json.loads(piece) for piece in streamed.split(b"\0")[:-1]]
        assert all(later["text"].startswith(former["text"]) for former, later in itertools.pairwise(told))
        assert (told[-1]["finish_reason"], told[-1]["usage"]["completion_tokens"]) == ("length", 6)
        whole = (await http.post("/worker_generate", json=asked)).json()
        assert (whole["error_code"], whole["finish_reason"]) == (0, "length")
        long = (await http.post("/worker_generate", json=asked | {"prompt": "x y z " * 900})).json()
        assert long["error_code"] == 40303
        assert (await http.get("/version")).status_code == 404
    async with httpx.AsyncClient(base_url=await address(started, EMBEDDER), timeout=30) as http:
        vectors = (await http.post("/worker_get_embeddings", json={"input": ["a", "b"]})).json()
        assert [len(vector) for vector in vectors["embedding"]] == [64, 64]


@pytest.mark.parametrize("victim", ["engine", "server"])
async def test_what_is_killed_is_not_listed_and_comes_back(client: openai.AsyncOpenAI, started: Processes, victim: str):
    worker, family = started.workers[CHAT], started.family(CHAT)[1:]
    stream = await client.chat.completions.create(
        **asking(max_tokens=1000, stream=True, extra_body={"ignore_eos": True})
    )
    events = aiter(stream)
    await anext(events)
    killed_at = time.monotonic()
    (started.engine if victim == "engine" else started.server)(CHAT).send_signal(signal.SIGKILL)
    with pytest.raises(openai.APIError):
        await asyncio.wait_for(drained(events), 10)

    async def listed(expected: set[str]) -> bool:
        return {model.id for model in (await client.models.list()).data} == expected

    await until(lambda: listed({EMBEDDER}), 8)
    assert worker.poll() is None, "the worker stays"
    await until(lambda: listed({CHAT, EMBEDDER}), 60, 0.2)
    assert time.monotonic() - killed_at < 60
    assert (await client.chat.completions.create(**asking())).choices[0].finish_reason == "length"
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == [], "nothing of the former run is left"


async def drained(events: AsyncIterator[object]) -> None:
    async for _ in events:
        pass


async def test_a_start_that_fails_says_why(started: Processes):
    doomed: list[tuple[dict[str, Any], int, str]] = [
        ({"kv_cache_memory_bytes": "16K"}, CONTEXT_TOKENS, "ran out of memory: No available memory for the cache"),
        ({}, 8192, f"context_tokens' is not valid: the model takes at most {CONTEXT_TOKENS} tokens"),
        ({"arguments": ["--no-such-flag"]}, CONTEXT_TOKENS, r"options.arguments' is not valid: .*--no-such-flag"),
    ]
    reasons = await asyncio.gather(*(reason_of(started, options, tokens) for options, tokens, _ in doomed))
    for reason, (_, _, sentence) in zip(reasons, doomed, strict=True):
        assert re.search(sentence, reason)


async def reason_of(started: Processes, options: dict[str, Any], context_tokens: int) -> str:
    given = {**PROFILE["vllm"], "path": str(started.folder / "chat"), "python": str(PYTHON), **options}
    engine: Any = ENGINES.build("vllm", EngineSpec("doomed", given, context_tokens, started.folder, "", None, 60.0))
    with pytest.raises(ChatchatError) as failed:
        await engine.start()
    assert engine.address == ""
    return str(failed.value)


async def test_the_end_of_the_workers_leaves_nothing_behind(started: Processes):
    """The last one: it ends what the others used, one with SIGTERM, one with SIGKILL."""
    families = {model: started.family(model) for model in started.workers}
    assert all(len(family) >= 3 for family in families.values())
    began = time.monotonic()
    started.workers[CHAT].send_signal(signal.SIGTERM)
    started.workers[EMBEDDER].send_signal(signal.SIGKILL)
    for worker in started.workers.values():
        await asyncio.to_thread(worker.wait, 10)
    _, alive = psutil.wait_procs([each for family in families.values() for each in family], timeout=10)
    assert alive == []
    assert time.monotonic() - began < 12
    assert started.workers[CHAT].returncode in {0, -signal.SIGTERM}
    with contextlib.suppress(psutil.NoSuchProcess):
        assert "vllm" not in " ".join(psutil.Process(families[CHAT][1].pid).cmdline())
