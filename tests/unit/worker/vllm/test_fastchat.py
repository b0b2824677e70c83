"""FastChat's worker wire over a scripted vLLM: rewritten requests, NUL-terminated cumulative answers, error codes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.worker.engines.local.vllm.middleware.plan import MiddlewarePlan
from tests.unit.worker.vllm.making import Client, FakeVllm
from tests.unit.worker.vllm.test_middleware import TOO_LONG, error

PROMPT = "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n"


def event(fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def chat(content: str | None, written: int, reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": reason}
    usage = {"prompt_tokens": 3, "completion_tokens": written, "total_tokens": 3 + written}
    return event({"id": "1", "choices": [choice], "usage": usage})


EVENTS = [chat("", 0), chat("甲", 1), chat("乙", 2, "length"), event({"id": "1", "choices": []}), b"data: [DONE]\n\n"]


def messages(body: bytes) -> list[dict[str, Any]]:
    assert body.endswith(b"\0")
    return [json.loads(piece) for piece in body.split(b"\0")[:-1]]


async def test_a_stream_is_cumulative_and_ends_with_its_reason():
    asking = Client(FakeVllm(events=EVENTS))
    answer = await asking.ask("/worker_generate_stream", {"prompt": PROMPT, "max_new_tokens": 2, "stop": []})
    told = [(each["text"], each["finish_reason"], each["usage"]["completion_tokens"]) for each in messages(answer.body)]
    assert told == [("甲", None, 1), ("甲乙", None, 2), ("甲乙", "length", 2)]
    path, asked = asking.vllm.asked[0]
    assert (path, asked["messages"]) == ("/v1/chat/completions", [{"role": "user", "content": "你好"}])
    assert (asked["model"], asked["max_tokens"], asked["stream"]) == ("m", 2, True)
    assert "stop" not in asked


async def test_events_that_come_in_pieces_are_put_together():
    whole = b"".join(EVENTS)
    asking = Client(FakeVllm(events=[whole[at : at + 7] for at in range(0, len(whole), 7)]))
    answer = await asking.ask("/worker_generate_stream", {"prompt": PROMPT})
    assert messages(answer.body)[-1]["text"] == "甲乙"


async def test_any_other_prompt_is_taken_as_it_is():
    completion = [event({"choices": [{"text": " b", "finish_reason": "stop"}], "usage": {}}), b"data: [DONE]\n\n"]
    asking = Client(FakeVllm(events=completion))
    answer = await asking.ask("/worker_generate", {"prompt": "a", "echo": True, "temperature": 0, "top_k": -1})
    assert (answer.json["text"], answer.json["finish_reason"], answer.json["error_code"]) == ("a b", "stop", 0)
    path, asked = asking.vllm.asked[0]
    assert (path, asked["prompt"], asked["temperature"], asked["top_k"]) == ("/v1/completions", "a", 0, -1)


async def test_with_a_template_of_fastchats_no_prompt_is_read_back():
    plan = MiddlewarePlan(model="m", is_chatml=False, conversation={"name": "vicuna_v1.1"})
    asking = Client(FakeVllm(events=EVENTS), plan)
    await asking.ask("/worker_generate", {"prompt": PROMPT})
    assert asking.vllm.asked[0][0] == "/v1/completions"
    assert (await asking.ask("/worker_get_conv_template")).json == {"conv": {"name": "vicuna_v1.1"}}


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, error(TOO_LONG), 40303),
        (404, error("The model `x` does not exist.", 404, "model"), 40301),
        (400, error("no", param="stop"), 40302),
        (500, error("EngineCore died", 500), 50001),
    ],
)
async def test_a_failure_has_fastchats_code(status: int, body: bytes, code: int):
    asking = Client(FakeVllm(status=status, body=body))
    streamed = await asking.ask("/worker_generate_stream", {"prompt": PROMPT})
    whole = await asking.ask("/worker_generate", {"prompt": PROMPT})
    assert (streamed.status, whole.status) == (200, 200)
    assert [each["error_code"] for each in messages(streamed.body)] == [code]
    assert whole.json["error_code"] == code


async def test_a_failure_in_the_middle_is_the_last_message():
    events = [EVENTS[1], b"data: " + error("EngineCore died", 500) + b"\n\n", b"data: [DONE]\n\n"]
    answer = await Client(FakeVllm(events=events)).ask("/worker_generate_stream", {"prompt": PROMPT})
    assert [each["error_code"] for each in messages(answer.body)] == [0, 50001]


async def test_without_a_place_it_is_told_to_come_back():
    asking = Client(FakeVllm(), MiddlewarePlan(model="m", concurrency=1, waiting_limit=0))
    asking.middleware._admission._running = 1
    answer = await asking.ask("/worker_generate_stream", {"prompt": PROMPT})
    assert messages(answer.body)[0]["error_code"] == 42903
    assert (await asking.ask("/worker_get_embeddings", {"input": ["x"]})).json["error_code"] == 42903
    assert (await asking.ask("/worker_generate", {"prompt": 3})).json["error_code"] == 40302


async def test_embeddings_are_in_the_order_of_the_texts():
    items = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    body = json.dumps({"data": items, "usage": {"total_tokens": 7}}).encode()
    asking = Client(FakeVllm(body=body), MiddlewarePlan(model="m", task="embedding"))
    answer = await asking.ask("/worker_get_embeddings", {"model": "other", "input": ["a", "b"]})
    assert answer.json == {"embedding": [[1.0], [2.0]], "token_num": 7}
    assert asking.vllm.asked == [("/v1/embeddings", {"model": "m", "input": ["a", "b"]})]


async def test_what_fastchat_asks_a_worker_about_itself():
    asking = Client(FakeVllm(body=b'{"count": 4}'), MiddlewarePlan(model="m", context_tokens=1024))
    assert (await asking.ask("/count_token", {"prompt": "hi"})).json == {"count": 4, "error_code": 0}
    assert (await asking.ask("/model_details", {"model": "m"})).json == {"context_length": 1024}
    status = (await asking.ask("/worker_get_status")).json
    assert (status["model_names"], status["speed"], status["queue_length"]) == (["m"], 1, 0)
