"""Streams and failures as vendors really send them, read by the remote engine; the provider is a scripted server."""

from __future__ import annotations

import json

import pytest

from services.foundation.errors import ChatchatError, ContextTooLong, InvalidRequest, ProviderFailed, WorkerBusy
from tests.contract.engine import KEY, MODEL, collect, reason_of, text_of
from tests.contract.remote import GOOD, Script, chat_request, event, failure_of, relaying

pytestmark = pytest.mark.enable_socket

HI = '{"choices":[{"index":0,"delta":{"content":"hi"}}]}'
STOP = '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
WILD = {
    "no space after data": f"data:{HI}\n\ndata:{STOP}\n\ndata:[DONE]\n\n",
    "no DONE": f"data: {HI}\n\ndata: {STOP}\n\n",
    "no end of line at the end": f"data: {HI}\n\ndata: {STOP}",
    "no finish_reason": f"data: {HI}\n\ndata: [DONE] \n\n",
    "comments": f": wait\n\n: wait\n\ndata: {HI}\n\ndata: {STOP}\n\n",
    "CR LF and other fields": f"event: x\r\nid: 1\r\ndata: {HI}\r\n\r\ndata: {STOP}\r\n\r\n",
    "no choices": f'data: {{"choices":[]}}\n\ndata: {{"choices":null,"usage":null}}\n\ndata: {HI}\n\ndata: {STOP}\n\n',
    "role and finish_reason each time": 'data: {"choices":[{"delta":{"role":"assistant","content":"h"},'
    '"finish_reason":""}]}\n\ndata: {"choices":[{"delta":{"role":"assistant","content":"i"},"finish_reason":"null"}]}'
    f"\n\ndata: {STOP}\n\n",
    "no delta": f'data: {HI}\n\ndata: {{"choices":[{{"index":0,"delta":null,"finish_reason":"stop"}}]}}\n\n',
    "finished twice": f"data: {HI}\n\ndata: {STOP}\n\ndata: {STOP}\n\n",
    "Spark": 'data: {"code":0,"message":"Success","sid":"c@1","id":"c@1","created":1.5,"choices":[{"delta":{"role":'
    '"assistant","content":"hi"},"index":0}]}\n\ndata: {"code":0,"choices":[{"delta":{"content":""},"index":0}],'
    '"usage":{"prompt_tokens":6,"completion_tokens":42,"total_tokens":48}}\n\ndata: [DONE]\n\n',
    "MiniMax": 'data: {"choices":[{"index":0,"delta":{"content":"hi","role":"assistant"}}],"base_resp":null}\n\n'
    'data: {"choices":[{"index":0,"finish_reason":"stop","message":{"content":"hi","role":"assistant"}}],'
    '"object":"chat.completion","usage":{"total_tokens":9},"base_resp":{"status_code":0}}\n\n',
}


@pytest.mark.parametrize("name", WILD)
async def test_streams_as_they_are_in_the_wild(name: str):
    stream = WILD[name].encode()
    script = Script(pieces=[stream[:20], stream[20:]])
    async with relaying(script) as engine:
        chunks = await collect(engine, chat_request())

    assert text_of(chunks) == "hi"
    assert reason_of(chunks) == "stop"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(choice.delta.role is None for chunk in chunks[1:] for choice in chunk.choices)
    assert chunks[-1].usage is not None
    assert {chunk.model for chunk in chunks} == {MODEL}


@pytest.mark.parametrize("stream", ["", ": wait\n\n", "data: [DONE]\n\n", f"data: {HI}\n\n", "<html>sign in</html>"])
async def test_a_stream_without_an_answer_is_a_failure(stream: str):
    script = Script(pieces=[stream.encode()])
    async with relaying(script) as engine:
        failed = await failure_of(engine)
    assert isinstance(failed, ProviderFailed)
    assert "ended before" in str(failed)


@pytest.mark.parametrize("sent", ['{"choices":[{"delta":{"content":5}}]}', '{"choices":{}}', '{"choices":[3]}', "[3]"])
async def test_an_event_of_another_shape_is_a_failure(sent: str):
    async with relaying(Script(events=[sent])) as engine:
        assert isinstance(await failure_of(engine), ProviderFailed)


@pytest.mark.parametrize(
    "last",
    [
        {"choices": [{"index": 0, "delta": {"content": "!"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7}},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": {"prompt_tokens": 7}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7.0, "x": {}}},
    ],
)
async def test_usage_wherever_it_stands(last: object):
    script = Script(events=[event({"content": "hi"}, usage=None), json.dumps(last)])
    async with relaying(script) as engine:
        usage = (await collect(engine, chat_request()))[-1].usage

    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (7, 0, 7)


async def test_reasoning_comes_through():
    script = Script(
        events=[event({"reasoning_content": "hm"}), event({"content": "hi", "reasoning_content": None}), *GOOD[1:]]
    )
    async with relaying(script) as engine:
        chunks = await collect(engine, chat_request())

    thoughts = [choice.delta.model_extra for chunk in chunks for choice in chunk.choices]
    assert [extra["reasoning_content"] for extra in thoughts if extra and extra.get("reasoning_content")] == ["hm"]
    assert text_of(chunks) == "hi"


@pytest.mark.parametrize(
    ("body", "expected", "sentence"),
    [
        ({"error": {"message": "busy", "code": "rate_limit_exceeded"}}, WorkerBusy, "busy"),
        ([{"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}], WorkerBusy, "busy"),
        ({"error": {"code": "1301", "message": "系统检测到敏感内容"}}, InvalidRequest, "content filter.*敏感"),
        ({"error": {"code": "1113", "message": "您的账户已欠费"}}, ProviderFailed, "no credit left"),
        ({"error": {"code": "1261", "message": "Prompt 超长"}}, ContextTooLong, "takes at most 2000"),
        ({"error": {"code": "1211", "message": "模型不存在"}}, ProviderFailed, "knows no model 'up'"),
        ({"base_resp": {"status_code": 1004, "status_msg": f"login fail {KEY}"}}, ProviderFailed, "access key"),
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, WorkerBusy, "busy"),
        ({"base_resp": {"status_code": 2013, "status_msg": "invalid params"}}, ProviderFailed, "invalid params"),
        ({"code": 10013, "message": "input filtered", "sid": "c@1"}, InvalidRequest, "content filter"),
        ({"code": 11200, "message": f"auth {KEY}"}, ProviderFailed, r"auth \*\*\*"),
        ({"code": "DataInspectionFailed", "message": "Input data may contain"}, InvalidRequest, "content filter"),
        ({"error": "out of luck"}, ProviderFailed, "out of luck"),
        ({"id": "x", "choices": []}, ProviderFailed, "at once instead of in a stream"),
        ([], ProviderFailed, "not a JSON object"),
    ],
)  # fmt: skip
async def test_a_failure_under_status_200(body: object, expected: type[ChatchatError], sentence: str):
    for script in (Script(body=body), Script(events=[json.dumps(body, ensure_ascii=False)])):
        if script.events and "at once" in sentence:
            continue
        async with relaying(script) as engine:
            failed = await failure_of(engine)
        assert type(failed) is expected
        with pytest.raises(expected, match=sentence):
            raise failed
        assert len(script.asked) == 1


@pytest.mark.parametrize("reason", ["sensitive", "content_filter"])
async def test_a_filtered_answer_says_so(reason: str):
    script = Script(events=[event({"content": "I "}), event({}, reason)])
    async with relaying(script) as engine:
        assert reason_of(await collect(engine, chat_request())) == "content_filter"


async def test_an_answer_the_provider_broke_off_is_a_failure():
    script = Script(events=[event({"content": "I "}), event({}, "insufficient_system_resource")])
    async with relaying(script) as engine:
        assert "broke off the answer: insufficient_system_resource" in str(await failure_of(engine))
