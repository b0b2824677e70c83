"""Requests that would hurt an engine, against a gateway over echo workers: 400 with a field, at once, engine alive.

Tests T71 to T75 of the attack list.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import statistics
import struct
import time
import zlib

import aiohttp
import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from tests.integration.gateway_stack import Stack, echo_stack
from tests.unit.gateway.test_images import gif

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
MESSAGES = [{"role": "user", "content": "one two three"}]


def chat(**fields: object) -> dict[str, object]:
    return {"model": "m", "messages": MESSAGES, **fields}


def shown(content: bytes, kind: str = "image/png") -> dict[str, object]:
    url = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    return {"model": "m", "messages": [{"role": "user", "content": parts}]}


async def refused(http: httpx.AsyncClient, path: str, body: object, status: int = 400) -> str:
    """Refused quickly, in OpenAI's shape; returns the field's name."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    began = time.perf_counter()
    answer = await http.post(path, content=content)
    took = time.perf_counter() - began
    assert answer.status_code == status, answer.text
    assert took < 2.0
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    return str(error["param"])


async def still_answers(http: httpx.AsyncClient) -> None:
    began = time.perf_counter()
    answer = await http.post(CHAT, json=chat())
    assert answer.json()["choices"][0]["message"]["content"] == "one two three"
    assert time.perf_counter() - began < 2.0


async def test_t71_json_that_is_made_to_hurt():
    bodies = [
        b'{"model": "m", "messages": ' + b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"model":"m","messages":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b"{" + b",".join(b'"k%d":1' % number for number in range(1_000_000)) + b"}",
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
        b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "\xed\xa0\x80"}]}',
        b"\xff\xfe{\0}\0",
    ]
    async with echo_stack() as live, live.http() as http:
        for body in bodies:
            assert await refused(http, CHAT, body) == "body"
        await still_answers(http)


async def test_t72_requests_that_have_stopped_engines():
    bodies: list[tuple[str, dict[str, object], str]] = [
        (TEXT, {"model": "m", "prompt": ""}, "prompt"),
        (CHAT, chat(messages=[]), "messages"),
        (CHAT, chat(messages=[{"role": "system", "content": "x"}]), "messages"),
        (CHAT, chat(max_tokens=-1), "max_tokens"),
        (CHAT, chat(max_tokens=0), "max_tokens"),
        (CHAT, chat(max_tokens=10**9), "max_tokens"),
        (CHAT, chat(n=1000), "n"),
        (TEXT, {"model": "m", "prompt": "x", "best_of": 1000}, "best_of"),
        (TEXT, {"model": "m", "prompt": "x", "logprobs": 10**6}, "logprobs"),
        (CHAT, chat(logprobs=True, top_logprobs=10**6), "top_logprobs"),
        (CHAT, chat(stop=[str(number) for number in range(100_000)]), "stop"),
        (CHAT, chat(stream="False"), "stream"),
        (CHAT, chat(seed="x"), "seed"),
        (TEXT, {"model": "m", "prompt": ["x"] * 1000}, "prompt"),
        ("/v1/embeddings", {"model": "e", "input": ["x"] * 3000}, "input"),
        ("/v1/embeddings", {"model": "e", "input": ""}, "input"),
    ]
    async with echo_stack() as live, live.http() as http:
        for path, body, field in bodies:
            assert await refused(http, path, body) == field
        nan = json.dumps(chat()).encode()[:-1] + b', "temperature": NaN}'
        assert await refused(http, CHAT, nan) == "body"
        await still_answers(http)


async def test_t72_a_million_tokens_are_refused_with_numbers():
    async with echo_stack() as live, live.http() as http:
        answer = await http.post(CHAT, json=chat(messages=[{"role": "user", "content": "word " * 1_000_000}]))
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["code"] == "context_length_exceeded"
        assert error["chatchat"]["facts"]["limit"] == 2000
        assert error["chatchat"]["facts"]["tokens"] >= 1_000_000
        await still_answers(http)


async def test_t73_schemas_and_regexes_that_are_made_to_hurt():
    deep: dict[str, object] = {"type": "string"}
    for _ in range(80):
        deep = {"type": "array", "items": deep}
    wide = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(20_000)}}
    bodies = [
        (
            chat(response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": deep}}),
            "response_format",
        ),
        (
            chat(response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": wide}}),
            "response_format",
        ),
        (chat(structured_outputs={"regex": "((a{1,99}){1,99}){1,99}"}), "structured_outputs"),
        (chat(structured_outputs={"grammar": "root ::= " + '"a" | ' * 10_000}), "structured_outputs"),
        (chat(tools=[{"type": "function", "function": {"name": "f"}}] * 1000), "tools"),
        (chat(guided_regex="a"), "guided_regex"),
    ]
    async with echo_stack() as live, live.http() as http:
        for body, field in bodies:
            assert await refused(http, CHAT, body) == field
        await still_answers(http)


async def test_t74_images_that_are_made_to_hurt():
    header = struct.pack(">IIBBBBB", 65_000, 65_000, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    huge = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + header + crc + b"\0\0\0\0IEND\xaeB`\x82"
    dot, odd = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (1, 1)).save(dot, "PNG")
    Image.new("I;16", (32, 32)).save(odd, "PNG")
    async with echo_stack() as live, live.http() as http:
        for content in (huge, gif(10_000), dot.getvalue(), odd.getvalue()):
            assert await refused(http, CHAT, shown(content)) == "messages.0.content.1.image_url"
        remote = shown(b"")
        remote["messages"] = [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}]}
        ]
        assert await refused(http, CHAT, remote) == "messages.0.content.0.image_url"
        await still_answers(http)


async def first_token_seconds(live: Stack, key: str) -> float:
    headers = {"authorization": f"Bearer {key}"}
    async with live.http(headers=headers) as http:
        began = time.perf_counter()
        async with http.stream("POST", CHAT, json=chat(stream=True)) as answer:
            assert answer.status_code == 200
            async for _ in answer.aiter_bytes():
                return time.perf_counter() - began
    raise AssertionError("no token came")


async def test_t75_one_caller_with_500_streams_does_not_slow_another():
    greedy, modest = "the-key-of-a-greedy-one", "the-key-of-a-modest-one"
    keys = (SecretStr(greedy), SecretStr(modest))
    slow = {"pieces": 200, "delay_seconds": 0.05}
    async with echo_stack(echo=slow, access_keys=keys, caller_limit=8) as live:
        before = statistics.median([await first_token_seconds(live, modest) for _ in range(15)])
        allowed, refusals = asyncio.Event(), []
        body = chat(stream=True, messages=[{"role": "user", "content": "word " * 200}])
        connector = aiohttp.TCPConnector(limit=0)  # httpx looks at every connection for every request
        async with aiohttp.ClientSession(live.gateway, connector=connector, headers={"x-api-key": greedy}) as http:

            async def one() -> int:
                async with http.post(CHAT, json=body) as answer:
                    if answer.status == 429:
                        refusals.append((answer.headers.get("retry-after"), await answer.read()))
                    else:
                        await allowed.wait()
                    return answer.status

            running = [asyncio.create_task(one()) for _ in range(500)]
            async with asyncio.timeout(60):
                while len(refusals) < 492:
                    await asyncio.sleep(0.02)
            during = statistics.median([await first_token_seconds(live, modest) for _ in range(15)])
            allowed.set()
            statuses = await asyncio.gather(*running)
    print(f"first token of the other caller: {before * 1000:.1f} ms before, {during * 1000:.1f} ms meanwhile")
    assert (statuses.count(200), statuses.count(429)) == (8, 492)
    assert {after for after, _ in refusals} == {"1"}
    error = json.loads(refusals[0][1])["error"]
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    assert error["chatchat"]["facts"] == {"running": 8, "limit": 8}
    assert during < before * 2 + 0.05


async def test_a_caller_may_come_back_when_a_request_has_ended():
    async with echo_stack(caller_limit=1) as live, live.http() as http:
        for _ in range(5):
            assert (await http.post(CHAT, json=chat())).status_code == 200
            assert (await http.post(CHAT, json=chat(n=1000))).status_code == 400


@pytest.mark.parametrize(("max_tokens", "fits"), [(10, True), (1999, False)])
async def test_fastchats_question_whether_prompts_fit(max_tokens, fits):
    async with echo_stack() as live, live.http() as http:
        prompt = {"model": "m", "prompt": "one two three", "max_tokens": max_tokens}
        answer = await http.post("/api/v1/token_check", json={"prompts": [prompt, {**prompt, "max_tokens": 0}]})
        assert answer.json() == {
            "prompts": [
                {"fits": fits, "contextLength": 2000, "tokenCount": 3},
                {"fits": True, "contextLength": 2000, "tokenCount": 3},
            ]
        }
        unknown = await http.post("/api/v1/token_check", json={"prompts": [{**prompt, "model": "absent"}]})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
        other = await http.post("/api/v1/token_check", json={"prompts": [{**prompt, "model": "e"}]})
        assert (other.status_code, other.json()["error"]["param"]) == (400, "model")


async def test_tokens_embeddings_and_ranks_through_the_gateway():
    async with echo_stack() as live, live.http() as http:
        counted = await http.post("/tokenize", json={"model": "m", "prompt": "one two three"})
        assert counted.json()["count"] == 3
        vectors = await http.post("/v1/embeddings", json={"model": "e", "input": ["a", "b"]})
        assert len(vectors.json()["data"]) == 2
        ranks = await http.post("/rerank", json={"model": "r", "query": "a", "documents": ["b", "a"]})
        assert ranks.json()["results"][0]["index"] == 1
        models = (await http.get("/v1/models")).json()["data"]
        assert [card["id"] for card in models] == ["e", "m", "r"]
        assert (await http.post("/v1/responses", json={"model": "m", "input": "x"})).status_code == 404


async def test_what_is_relayed_is_described_and_other_methods_are_refused():
    async with echo_stack() as live, live.http() as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
        assert {"/v1/chat/completions", "/v1/embeddings", "/v1/rerank", "/tokenize", "/v1/models"} <= set(paths)
        wrong = await http.get(CHAT)
    assert wrong.status_code == 405
    assert wrong.json()["error"]["type"] == "invalid_request_error"
