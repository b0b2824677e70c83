from __future__ import annotations

import base64
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.unit.worker.building import echo_model, running


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    failing = echo_model("failing", fail_after=2)
    async with running(
        echo_model(), failing, echo_model("vectors", "embedding"), echo_model("ranks", "rerank")
    ) as client:
        yield client


def ask(text: str = "one two three four", **fields: object) -> dict[str, object]:
    return {"model": "echo", "messages": [{"role": "user", "content": text}], **fields}


def events(body: str) -> list[dict[str, object]]:
    """The events of a stream; each is one `data:` line ended by LF LF, and the last says [DONE]."""
    assert "\r" not in body
    blocks = [block for block in body.split("\n\n") if block and not block.startswith(":")]
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    assert blocks.pop() == "data: [DONE]"
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


async def refused(client: httpx.AsyncClient, path: str, body: object, status: int = 400) -> dict[str, object]:
    answer = await client.post(path, json=body)
    assert answer.status_code == status, answer.text
    error: dict[str, object] = answer.json()["error"]
    return error


async def test_models(client: httpx.AsyncClient):
    listed = (await client.get("/v1/models")).json()

    assert listed["object"] == "list"
    assert {card["id"]: card["task"] for card in listed["data"]} == {
        "echo": "chat",
        "failing": "chat",
        "vectors": "embedding",
        "ranks": "rerank",
    }


async def test_a_whole_answer_has_usage(client: httpx.AsyncClient):
    answer = (await client.post("/v1/chat/completions", json=ask("你好 world"))).json()

    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-")
    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "你好 world"}, "finish_reason": "stop"}
    ]
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


async def test_a_stream_without_usage(client: httpx.AsyncClient):
    answer = await client.post("/v1/chat/completions", json=ask(stream=True))

    assert answer.headers["content-type"].startswith("text/event-stream")
    chunks = events(answer.text)
    assert all("usage" not in chunk for chunk in chunks)
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks[:-1])  # type: ignore[index]
    assert chunks[0]["choices"] == [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
    assert chunks[-1]["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "one two three four"  # type: ignore[index]


async def test_a_stream_with_usage(client: httpx.AsyncClient):
    body = ask(stream=True, stream_options={"include_usage": True})
    chunks = events((await client.post("/v1/chat/completions", json=body)).text)

    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8}
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize("text", ["line\nbreak\r\n", "\u2028\u2029\x85\x0b\x0c\x1c", "😀 \0 '\"\\", "data: [DONE]\n\n"])
async def test_no_character_breaks_an_event(client: httpx.AsyncClient, text: str):
    answer = await client.post("/v1/chat/completions", json=ask(text, stream=True))

    lines = [line for line in answer.text.splitlines() if line.startswith("data: {")]
    parts = [json.loads(line.removeprefix("data: "))["choices"][0]["delta"].get("content", "") for line in lines]
    assert "".join(parts) == text


@pytest.mark.parametrize("stream", [False, True])
async def test_several_choices(client: httpx.AsyncClient, stream: bool):
    body = ask(n=3, stream=stream, stream_options={"include_usage": True})
    answer = await client.post("/v1/chat/completions", json=body)
    texts = {0: "", 1: "", 2: ""}
    if stream:
        *chunks, last = events(answer.text)
        for chunk in chunks:
            choice: dict[str, Any] = chunk["choices"][0]  # type: ignore[index]
            texts[choice["index"]] += choice["delta"].get("content", "")
        usage = last["usage"]
    else:
        texts = {choice["index"]: choice["message"]["content"] for choice in answer.json()["choices"]}
        usage = answer.json()["usage"]

    assert texts == dict.fromkeys(range(3), "one two three four")
    assert usage == {"prompt_tokens": 4, "completion_tokens": 12, "total_tokens": 16}


async def test_stop_and_limit(client: httpx.AsyncClient):
    stopped = (await client.post("/v1/chat/completions", json=ask(stop=" three"))).json()["choices"][0]
    cut = (await client.post("/v1/chat/completions", json=ask(max_tokens=2))).json()["choices"][0]

    assert (stopped["message"]["content"], stopped["finish_reason"]) == ("one two", "stop")
    assert (cut["message"]["content"].strip(), cut["finish_reason"]) == ("one two", "length")


async def test_a_failure_before_the_first_chunk_has_its_status(client: httpx.AsyncClient):
    error = await refused(client, "/v1/chat/completions", ask("word " * 3000, stream=True))

    assert error["code"] == "context_length_exceeded"


async def test_a_failure_inside_the_stream_is_one_event_and_the_end(client: httpx.AsyncClient):
    answer = await client.post("/v1/chat/completions", json=ask(model="failing", stream=True))

    assert answer.status_code == 200
    last = answer.text.rstrip("\n").split("\n\n")[-1]
    error = json.loads(last.removeprefix("data: "))["error"]
    assert error["code"] == "model.engine_failed"
    assert "after 2 pieces" in error["message"]
    assert error["chatchat"]["request_id"] == answer.headers["x-request-id"]
    assert "[DONE]" not in answer.text


async def test_a_failure_of_a_whole_answer(client: httpx.AsyncClient):
    error = await refused(client, "/v1/chat/completions", ask(model="failing"), 500)

    assert error["code"] == "model.engine_failed"


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        ("chat/completions", ask(model="absent"), 404, "model_not_found", None),
        ("chat/completions", ask(model="vectors"), 400, "request.invalid", "model"),
        ("embeddings", {"model": "echo", "input": "a"}, 400, "request.invalid", "model"),
        ("embeddings", {"model": "vectors", "input": ""}, 400, "request.invalid", "input"),
        ("embeddings", {"model": "vectors", "input": []}, 400, "request.invalid", "input"),
        ("embeddings", {"model": "vectors", "input": ["a", ""]}, 400, "request.invalid", "input"),
        ("embeddings", {"model": "vectors", "input": ["a"] * 2049}, 400, "request.invalid", "input"),
        ("embeddings", {"model": "vectors", "input": [1, 2]}, 400, "request.invalid", None),
        ("rerank", {"model": "ranks", "query": "a", "documents": []}, 400, "request.invalid", "documents"),
        ("completions", {"model": "echo", "prompt": ""}, 400, "request.invalid", "prompt"),
        ("completions", {"model": "echo", "prompt": []}, 400, "request.invalid", "prompt"),
        ("completions", {"model": "echo", "prompt": ["a"] * 65}, 400, "request.invalid", "prompt"),
        ("chat/completions", {"model": "echo", "messages": []}, 400, "request.invalid", "messages"),
        ("chat/completions", ask(max_tokens=0), 400, "request.invalid", "max_tokens"),
        ("chat/completions", ask(max_tokens=-1), 400, "request.invalid", "max_tokens"),
        ("chat/completions", ask(n=1000), 400, "request.invalid", "n"),
        ("chat/completions", ask(stop=["x"] * 100_000), 400, "request.invalid", "stop"),
        ("chat/completions", ask(temperature=9), 400, "request.invalid", "temperature"),
        ("nothing", {}, 404, "not_found", None),
    ],
)
async def test_refusals_name_the_field(
    client: httpx.AsyncClient, path: str, body: object, status: int, code: str, param: str | None
):
    error = await refused(client, f"/v1/{path}", body, status)

    assert error["code"] == code
    if param is not None:
        assert error["param"] == param
    assert (await client.post("/v1/chat/completions", json=ask())).status_code == 200


async def test_text_completion_of_several_prompts(client: httpx.AsyncClient):
    body = {"model": "echo", "prompt": ["ab", "cd"], "n": 2, "echo": True}
    answer = (await client.post("/v1/completions", json=body)).json()

    assert answer["object"] == "text_completion"
    assert [(choice["index"], choice["text"], choice["finish_reason"]) for choice in answer["choices"]] == [
        (0, "abab", "stop"),
        (1, "abab", "stop"),
        (2, "cdcd", "stop"),
        (3, "cdcd", "stop"),
    ]
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}


async def test_streamed_text_completion(client: httpx.AsyncClient):
    body = {"model": "echo", "prompt": "one two three", "stop": " three", "stream": True, "echo": True}
    chunks = events((await client.post("/v1/completions", json=body)).text)

    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "one two threeone two"  # type: ignore[index]
    assert chunks[-1]["choices"] == [{"index": 0, "text": "", "finish_reason": "stop"}]
    assert all("usage" not in chunk for chunk in chunks)


async def test_embeddings_as_numbers_and_packed(client: httpx.AsyncClient):
    body = {"model": "vectors", "input": ["one two", "three"]}
    plain = (await client.post("/v1/embeddings", json=body)).json()
    packed = (await client.post("/v1/embeddings", json={**body, "encoding_format": "base64"})).json()

    assert [item["index"] for item in plain["data"]] == [0, 1]
    assert plain["usage"] == {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}
    assert "unreadable_share" not in plain["data"][0]
    for numbers, text in zip(plain["data"], packed["data"], strict=True):
        raw = base64.b64decode(text["embedding"])
        assert struct.unpack(f"<{len(raw) // 4}f", raw) == pytest.approx(numbers["embedding"], abs=1e-7)


async def test_rerank(client: httpx.AsyncClient):
    body = {"model": "ranks", "query": "two", "documents": ["one", "two"], "top_n": 1, "return_documents": True}
    answer = (await client.post("/v1/rerank", json=body)).json()

    assert answer["results"] == [{"index": 1, "relevance_score": 1.0, "document": "two"}]
