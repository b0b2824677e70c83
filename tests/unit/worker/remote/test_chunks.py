"""Events of vendors' streams → chunks: tool calls above all."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.worker.answers.assembly import whole_chat
from services.worker.engines.remote.chunks import BrokenOff, ChunkReader

WEATHER = {"name": "weather", "arguments": '{"city":"Bonn"}'}


def event(delta: list[dict[str, Any]]) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"tool_calls": delta}}]}


def calls_in(*deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    reader = ChunkReader()
    read = [reader.read(event(delta)) for delta in deltas]
    return [call for chunk in read for call in (chunk.choices[0].delta.model_extra or {})["tool_calls"]]


async def assembled(*deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    reader = ChunkReader()

    async def chunks():
        for delta in deltas:
            yield reader.read(event(delta))

    whole = await whole_chat("m", chunks())
    calls: list[dict[str, Any]] = (whole.choices[0].message.model_extra or {})["tool_calls"]
    return calls


async def test_openais_own_pieces_are_left_as_they_are():
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    rest = {"index": 0, "function": {"arguments": '{"city":"Bonn"}'}}
    assert calls_in([first], [rest]) == [first, rest]
    assert await assembled([first], [rest]) == [{"id": "c1", "type": "function", "function": WEATHER}]


async def test_pieces_without_index():
    deltas = (
        [{"id": "c1", "function": {"name": "weather", "arguments": '{"city":'}}],
        [{"function": {"arguments": '"Bonn"}'}}],
        [{"id": "c2", "function": {"name": "time", "arguments": "{}"}}],
    )
    found = await assembled(*deltas)
    assert [call["function"] for call in found] == [WEATHER, {"name": "time", "arguments": "{}"}]
    assert [call["id"] for call in found] == ["c1", "c2"]


async def test_whole_calls_that_all_have_index_0():
    found = await assembled(
        [{"index": 0, "id": "a", "type": "function", "function": WEATHER}],
        [{"index": 0, "id": "b", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
    )
    assert [(call["id"], call["function"]["arguments"]) for call in found] == [("a", WEATHER["arguments"]), ("b", "{}")]


async def test_several_calls_in_one_event_without_ids():
    found = await assembled([{"function": WEATHER}, {"function": {"name": "time", "arguments": {"zone": "格林"}}}])
    assert [call["function"] for call in found] == [WEATHER, {"name": "time", "arguments": '{"zone": "格林"}'}]
    assert all(call["id"].startswith("call-") and call["type"] == "function" for call in found)
    assert found[0]["id"] != found[1]["id"]


async def test_name_and_id_repeated_in_each_piece():
    deltas = [[{"index": 0, "id": "c", "function": {"name": "weather", "arguments": piece}}] for piece in ("{", "}")]
    assert await assembled(*deltas) == [
        {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    ]


async def test_name_repeated_without_any_id():
    deltas = [[{"function": {"name": "weather", "arguments": piece}}] for piece in ("{", "}")]
    assert [call["function"]["arguments"] for call in await assembled(*deltas)] == ["{}"]


async def test_no_arguments_at_all():
    found = await assembled([{"index": 0, "id": "c", "function": {"name": "now", "arguments": None}}])
    assert found[0]["function"]["name"] == "now"


def test_empty_lists_of_calls_are_nothing():
    chunk = ChunkReader().read({"choices": [{"delta": {"content": "x", "tool_calls": []}}]})
    assert chunk.choices[0].delta.model_dump() == {"role": None, "content": "x"}


@pytest.mark.parametrize("event", [{"choices": 5}, {"choices": [5]}, {"choices": [{"delta": {"content": {}}}]}])
def test_what_is_no_chunk(event: dict[str, Any]):
    with pytest.raises(ValidationError):
        ChunkReader().read(event)


def test_a_provider_that_gives_up():
    with pytest.raises(BrokenOff, match="network_error"):
        ChunkReader().read({"choices": [{"delta": {}, "finish_reason": "network_error"}]})


def test_the_rest_finishes_what_is_open():
    reader = ChunkReader()
    assert reader.rest().choices == []
    reader.read({"choices": [{"index": 0, "delta": {"content": "x"}}, {"index": 1, "delta": {"content": "y"}}]})
    reader.read({"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]})
    assert [(choice.index, choice.finish_reason) for choice in reader.rest().choices] == [(0, "stop")]
    reader.read(event([{"function": WEATHER}]))
    assert reader.rest().choices[0].finish_reason == "tool_calls"


def test_what_else_an_event_and_a_choice_hold_is_kept():
    choice: dict[str, Any] = {
        "delta": {"content": "x", "reasoning_content": "r"},
        "logprobs": {"content": []},
        "index": None,
    }
    chunk = ChunkReader().read({"system_fingerprint": "f", "choices": [choice], "sid": "s", "code": 0})
    assert chunk.model_extra == {"system_fingerprint": "f"}
    assert chunk.choices[0].model_extra == {"logprobs": {"content": []}}
    assert chunk.choices[0].delta.model_extra == {"reasoning_content": "r"}


def test_usage_is_made_of_numbers():
    usage: dict[str, Any] = {
        "prompt_tokens": 3.0,
        "completion_tokens": None,
        "total_tokens": "x",
        "prompt_tokens_details": {"cached": 1},
    }
    read = ChunkReader().read({"usage": usage}).usage
    assert read is not None
    assert (read.prompt_tokens, read.completion_tokens, read.total_tokens) == (3, 0, 3)
    assert read.model_extra == {"prompt_tokens_details": {"cached": 1}}
