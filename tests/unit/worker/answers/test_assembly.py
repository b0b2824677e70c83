from __future__ import annotations

from collections.abc import AsyncGenerator

from services.wire.openai import ChatChunk, Usage
from services.worker.answers.assembly import whole_chat


async def assembled(*choices: dict[str, object]) -> dict[str, object]:
    async def chunks() -> AsyncGenerator[ChatChunk, None]:
        for choice in choices:
            yield ChatChunk.model_validate({"id": "x", "model": "m", "choices": [choice]})
        yield ChatChunk(id="x", model="m", choices=[], usage=Usage(total_tokens=7))

    whole = await whole_chat("m", chunks())
    assert whole.usage is not None
    assert whole.usage.total_tokens == 7
    (choice,) = whole.choices
    return choice.model_dump(exclude_none=True)


async def test_pieces_of_tool_calls_are_put_together():
    def call(index: int, **fields: object) -> dict[str, object]:
        return {"delta": {"tool_calls": [{"index": index, **fields}]}}

    choice = await assembled(
        {"delta": {"role": "assistant", "content": ""}},
        call(0, id="c0", type="function", function={"name": "add", "arguments": '{"a"'}),
        call(0, function={"arguments": ": 1}"}),
        call(1, id="c1", type="function", function={"name": "now", "arguments": ""}),
        call(1, function={"arguments": "{}"}),
        {"delta": {}, "finish_reason": "tool_calls"},
    )

    assert choice == {
        "index": 0,
        "finish_reason": "tool_calls",
        "message": {
            "role": "assistant",
            "tool_calls": [
                {"id": "c0", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
                {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ],
        },
    }


async def test_reasoning_and_log_probabilities_are_kept():
    def piece(text: str, thought: str) -> dict[str, object]:
        delta = {"content": text, "reasoning_content": thought}
        return {"delta": delta, "logprobs": {"content": [{"token": text, "logprob": -0.5}]}}

    choice = await assembled(piece("a", "hm"), piece("b", "m"), {"delta": {}, "finish_reason": "stop"})

    assert choice["message"] == {"role": "assistant", "content": "ab", "reasoning_content": "hmm"}
    assert choice["logprobs"] == {
        "content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -0.5}],
    }


async def test_an_empty_answer_is_empty_text():
    choice = await assembled({"delta": {"role": "assistant", "content": ""}}, {"delta": {}, "finish_reason": "stop"})

    assert choice["message"] == {"role": "assistant", "content": ""}
