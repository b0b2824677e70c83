from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import pairwise

import httpx
import pytest

from services.worker.fastchat_prompt import messages_in
from tests.unit.worker.building import echo_model, running


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with running(echo_model(), echo_model("failing", fail_after=1), echo_model("vectors", "embedding")) as client:
        yield client


def messages(body: bytes) -> list[dict[str, object]]:
    assert body.endswith(b"\0")
    return [json.loads(part) for part in body[:-1].split(b"\0")]


async def test_the_stream_is_cumulative(client: httpx.AsyncClient):
    answer = await client.post("/worker_generate_stream", json={"model": "echo", "prompt": "one two 三", "top_k": -1})
    parts = messages(answer.content)

    assert all(part["error_code"] == 0 for part in parts)
    assert all(str(later["text"]).startswith(str(part["text"])) for part, later in pairwise(parts))
    assert parts[-1] == {
        "text": "one two 三",
        "error_code": 0,
        "usage": {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6},
        "finish_reason": "stop",
    }
    assert parts[0]["finish_reason"] is None
    assert parts[0]["usage"]["prompt_tokens"] == 3  # type: ignore[index]


async def test_whole_answer_with_options(client: httpx.AsyncClient):
    body = {"prompt": "one two three", "echo": True, "stop": [" three"], "temperature": 0.7, "top_p": 1.0}
    answer = (await client.post("/worker_generate", json=body)).json()

    assert answer["text"] == "one two threeone two"

    cut = (await client.post("/worker_generate", json={"prompt": "one two three", "max_new_tokens": 1})).json()
    assert (cut["text"].strip(), cut["finish_reason"]) == ("one", "length")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"model": "absent", "prompt": "a"}, 40301),
        ({"model": "vectors", "prompt": "a"}, 40302),
        ({"model": "echo", "prompt": "a", "max_new_tokens": 0}, 40302),
        ({"model": "echo", "prompt": "word " * 3000}, 40303),
    ],
)
@pytest.mark.parametrize("path", ["/worker_generate", "/worker_generate_stream"])
async def test_failures_are_answers_with_a_code(client: httpx.AsyncClient, path: str, body: object, code: int):
    answer = await client.post(path, json=body)

    assert answer.status_code == 200
    (message,) = messages(answer.content.removesuffix(b"\0") + b"\0")
    assert message["error_code"] == code
    assert message["text"]


async def test_a_failure_inside_the_stream(client: httpx.AsyncClient):
    answer = await client.post("/worker_generate_stream", json={"model": "failing", "prompt": "one two three"})

    assert [message["error_code"] for message in messages(answer.content)] == [0, 50001]


async def test_embeddings(client: httpx.AsyncClient):
    answer = (await client.post("/worker_get_embeddings", json={"input": ["a b", "c"]})).json()

    assert len(answer["embedding"]) == 2
    assert answer["token_num"] == 3
    refused = (await client.post("/worker_get_embeddings", json={"input": ["a"], "model": "echo"})).json()
    assert refused["error_code"] == 40302


async def test_descriptions(client: httpx.AsyncClient):
    status = (await client.post("/worker_get_status")).json()
    assert status["model_names"] == ["echo", "failing", "vectors"]
    assert (status["speed"], status["queue_length"]) == (1, 0)
    assert (await client.post("/count_token", json={"prompt": "one 二三"})).json() == {"count": 3, "error_code": 0}
    assert (await client.post("/model_details", json={"model": "echo"})).json() == {"context_length": 2000}
    assert (await client.post("/worker_get_conv_template", json={})).json()["conv"]["sep"] == "<|im_end|>"


def test_a_prompt_of_our_template_is_read_back():
    prompt = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi\nthere<|im_end|>\n<|im_start|>assistant\n"

    assert [(message.role, message.text) for message in messages_in(prompt)] == [
        ("system", "Be brief."),
        ("user", "Hi\nthere"),
    ]


def test_an_empty_system_message_is_left_out():
    prompt = "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"

    assert [message.role for message in messages_in(prompt)] == ["user"]


def test_any_other_prompt_is_one_user_message():
    assert [(message.role, message.text) for message in messages_in("USER: hi ASSISTANT:")] == [
        ("user", "USER: hi ASSISTANT:")
    ]
