"""OpenAI's bodies as clients send them, and as we send them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.wire.openai import (
    ChatChunk,
    ChatCompletion,
    ChatCompletionRequest,
    CompletionRequest,
    EmbeddingRequest,
    RerankRequest,
    new_id,
)


def ask(**more: Any) -> ChatCompletionRequest:
    return ChatCompletionRequest.model_validate(
        {"model": "m", "messages": [{"role": "user", "content": "你好"}], **more}
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("你好", "你好"),
        (None, ""),
        ([{"type": "text", "text": "你"}, {"type": "text", "text": "好"}], "你好"),
        ([{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "看"}], "看"),
        ([], ""),
    ],
)
def test_a_messages_text(content: Any, text: str):
    assert ask(messages=[{"role": "user", "content": content}]).messages[0].text == text


@pytest.mark.parametrize(
    ("stop", "stops"), [(None, []), ("\n", ["\n"]), (["a", "", "b"], ["a", "b"]), ("", []), ([], [])]
)
def test_stops(stop: Any, stops: list[str]):
    assert ask(stop=stop).stops == stops


def test_the_newer_token_limit_wins():
    assert ask(max_tokens=5).token_limit == 5
    assert ask(max_tokens=5, max_completion_tokens=9).token_limit == 9
    assert ask().token_limit is None


def test_unknown_fields_are_kept_for_those_who_know_them():
    request = ask(chat_template_kwargs={"enable_thinking": False})
    assert request.model_dump()["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize(
    "bad",
    [
        {"model": ""},
        {"messages": []},
        {"messages": [{"role": "wizard", "content": "x"}]},
        {"temperature": 2.5},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"top_p": float("inf")},
        {"n": 0},
        {"n": 1000},
        {"max_tokens": 0},
    ],
)
def test_refuses_what_no_model_can_do(bad: dict[str, Any]):
    with pytest.raises(ValidationError):
        ask(**bad)


def test_a_prompt_may_be_one_text_or_several():
    assert CompletionRequest(model="m", prompt="x").prompt == "x"
    assert CompletionRequest(model="m", prompt=["x", "y"]).prompt == ["x", "y"]


def test_embedding_inputs_are_always_a_list():
    assert EmbeddingRequest(model="m", input="x").texts == ["x"]
    assert EmbeddingRequest(model="m", input=["x", "y"]).texts == ["x", "y"]
    with pytest.raises(ValidationError):
        EmbeddingRequest.model_validate({"model": "m", "input": [[1, 2]]})


def test_rerank_needs_documents():
    with pytest.raises(ValidationError):
        RerankRequest(model="m", query="q", documents=[])


def test_answers_carry_an_id_and_a_time():
    first, second = ChatCompletion(model="m", choices=[]), ChatCompletion(model="m", choices=[])
    assert first.id.startswith("chatcmpl-")
    assert first.id != second.id
    assert first.created > 1_700_000_000
    assert new_id("x").startswith("x-")


def test_a_chunk_of_another_server_is_read():
    chunk = ChatChunk.model_validate_json(
        '{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"f","choices":'
        '[{"index":0,"delta":{"role":"assistant","reasoning_content":"嗯"},"logprobs":null,"finish_reason":null}]}'
    )
    assert chunk.choices[0].delta.content is None
    assert chunk.choices[0].delta.model_dump()["reasoning_content"] == "嗯"
