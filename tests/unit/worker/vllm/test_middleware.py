"""The middleware around a scripted vLLM: what passes untouched, what becomes ours, what is not offered."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from services.worker.engines.local.vllm.middleware.plan import MiddlewarePlan
from tests.unit.worker.vllm.making import Client, FakeVllm

CHAT = "/v1/chat/completions"
TOO_LONG = (
    "This model's maximum context length is 1024 tokens. However, your prompt contains at least 1025 input tokens, "
    "which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. "
    "(parameter=input_tokens, value=1025)"
)
MUCH_TOO_LONG = (
    "This model's maximum context length is 1024 tokens. However, your prompt contains 360000 characters (more than "
    "58368 characters, which is the upper bound for 1024 input tokens). Please reduce the length of the input prompt."
)


def error(message: str, code: int = 400, param: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": "x", "param": param, "code": code}}).encode()


def refusing(body: bytes, status: int = 400) -> Client:
    return Client(FakeVllm(status=status, body=body))


async def test_a_good_answer_passes_byte_for_byte():
    body = b'{"id": "1",  "choices":[]}\n'
    answer = await Client(FakeVllm(body=body)).ask(CHAT, {"model": "m"})
    assert (answer.status, answer.body) == (200, body)


async def test_a_stream_passes_chunk_by_chunk():
    events = [b'data: {"id":"1","choices":[]}\n\n', b': ping\n\ndata: {"a"', b":1}\n\n", b"data: [DONE]\n\n"]
    answer = await Client(FakeVllm(events=events)).ask(CHAT, {"stream": True})
    assert answer.chunks == events
    assert answer.headers == {"content-type": "text/event-stream; charset=utf-8"}


async def test_too_long_says_how_long_and_how_long_is_allowed():
    asking = refusing(error(TOO_LONG, param="input_tokens"))
    asking.vllm.answers["/tokenize"] = (200, b'{"count": 6317, "tokens": []}')
    answer = await asking.ask(CHAT, {"messages": [{"role": "user", "content": "…"}], "temperature": 1})
    assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")
    assert answer.error["chatchat"]["facts"] == {"model": "m", "tokens": 6317, "limit": 1024}
    assert asking.vllm.asked[-1] == ("/tokenize", {"messages": [{"role": "user", "content": "…"}]})


@pytest.mark.parametrize(("message", "tokens"), [(TOO_LONG, 1025), (MUCH_TOO_LONG, 6316)])
async def test_where_it_cannot_be_counted_the_length_is_what_is_known(message: str, tokens: int):
    asking = refusing(error(message))
    asking.vllm.answers["/tokenize"] = (400, b"{}")
    answer = await asking.ask(CHAT, {"prompt": "x"})
    assert answer.error["chatchat"]["facts"]["tokens"] == tokens


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (error("The model `x` does not exist.", 404, "model"), 404, "model_not_found", None),
        (error("temperature must be non-negative (parameter=temperature, value=-1)", param="temperature"), 400,
         "request.invalid", "temperature"),
        (error("n must be at most 16, got 1000. To increase this limit, set the VLLM_MAX_N_SEQUENCES environment "
               "variable."), 400, "request.invalid", "n"),
        (error("1 validation error:\n  {'type': 'x', 'loc': 'body.seed', 'msg': 'Input should be a number'}",
               param="body.seed"), 400, "request.invalid", "seed"),
        (error("EngineCore encountered an issue.", 500), 500, "model.engine_failed", None),
        (error("CUDA out of memory. Tried to allocate 2 GiB", 500), 503, "out_of_memory", None),
        (b'{"detail":"Not Found"}', 400, "request.invalid", "model"),
        (b"Internal Server Error", 500, "model.engine_failed", None),
        (b"", 500, "model.engine_failed", None),
    ],
)  # fmt: skip
async def test_an_error_becomes_ours(body: bytes, status: int, code: str, param: str | None):
    given = 404 if b"detail" in body else json.loads(body)["error"]["code"] if body.startswith(b"{") else status
    answer = await refusing(body, given).ask(CHAT, {"model": "m"})
    assert (answer.status, answer.error["code"], answer.error["param"]) == (status, code, param)
    assert "parameter=" not in answer.error["message"]
    assert "VLLM_" not in answer.error["message"]
    assert len(answer.error["chatchat"]["request_id"]) == 32
    assert int(answer.headers["content-length"]) == len(answer.body)


async def test_the_request_id_of_the_caller_is_kept():
    asking = refusing(error("no"))
    asking.headers.append((b"x-request-id", b"abc-1"))
    assert (await asking.ask(CHAT)).error["chatchat"]["request_id"] == "abc-1"


async def test_an_error_inside_a_stream_becomes_ours_and_the_stream_goes_on_to_its_end():
    events = [b'data: {"id":"1"}\n\n', b"data: " + error("EngineCore died", 500) + b"\n\n", b"data: [DONE]\n\n"]
    answer = await Client(FakeVllm(events=events)).ask(CHAT, {"stream": True})
    first, second, third = answer.chunks
    assert (first, third) == (events[0], events[2])
    told = json.loads(second.removeprefix(b"data: "))["error"]
    assert (told["code"], told["chatchat"]["facts"]["reason"]) == ("model.engine_failed", "EngineCore died")
    assert second.endswith(b"}\n\n")


async def test_what_vllm_lets_escape_is_answered_and_still_escapes():
    asking = Client(FakeVllm(error=RuntimeError("boom")))
    with pytest.raises(RuntimeError, match="boom"):
        await asking.ask(CHAT)
    assert (asking.last.status, asking.last.error["code"]) == (500, "model.engine_failed")
    assert "RuntimeError: boom" in asking.last.error["message"]
    assert (await asking.vitals())["running"] == 0


async def test_what_escapes_in_the_middle_of_a_stream_is_its_last_event():
    asking = Client(FakeVllm(events=[b'data: {"id":"1"}\n\n'], error=RuntimeError("boom")))
    with pytest.raises(RuntimeError):
        await asking.ask(CHAT)
    assert b"RuntimeError: boom" in asking.last.chunks[-1]
    assert asking.last.messages[-1]["more_body"] is False


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/version"),
        ("GET", "/docs"),
        ("POST", "/invocations"),
        ("POST", "/scale_elastic_ep"),
        ("GET", CHAT),
        ("POST", "/v1/chat/completions/render"),
        ("POST", "/v1/models"),
    ],
)
async def test_what_is_not_needed_is_not_offered(method: str, path: str):
    asking = Client(FakeVllm())
    answer = await asking.ask(path, method=method)
    assert (answer.status, answer.error["code"], asking.vllm.asked) == (404, "not_found", [])


@pytest.mark.parametrize(
    "hosts", [[], [b"a", b"b"], [b"a b"], [b""], [b"evil/../x"], [b"h:99999999"], [b"user@h"], ["h\u00e9".encode()]]
)
async def test_a_malformed_or_doubled_host_is_refused(hosts: list[bytes]):
    asking = Client(FakeVllm(), headers=[(b"host", host) for host in hosts])
    answer = await asking.ask(CHAT)
    assert (answer.status, answer.error["param"], asking.vllm.asked) == (400, "host", [])


@pytest.mark.parametrize("host", [b"127.0.0.1:8000", b"localhost", b"[::1]:80", b"gpu-1.lan"])
async def test_a_good_host_is_not(host: bytes):
    assert (await Client(FakeVllm(), headers=[(b"host", host)]).ask(CHAT)).status == 200


async def test_web_sockets_are_closed_and_the_lifespan_passes():
    passed, sent = [], []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    async def send(message: Any) -> None:
        sent.append(message["type"])

    middleware = Client(FakeVllm()).middleware
    middleware._app = inner
    await middleware({"type": "websocket", "path": "/v1/realtime"}, asyncio.Event, send)  # type: ignore[arg-type]
    await middleware({"type": "lifespan"}, asyncio.Event, send)  # type: ignore[arg-type]
    assert (passed, sent) == (["lifespan"], ["websocket.close"])


async def test_a_body_that_is_too_large_is_refused():
    asking = Client(FakeVllm(), MiddlewarePlan(model="m", body_limit_bytes=100))
    answer = await asking.ask(CHAT, {"x": "y" * 100})
    assert (answer.status, asking.vllm.asked) == (413, [])


EMBEDDER = MiddlewarePlan(
    model="m", task="embedding", query_instruction="问：", passage_instruction="文：", other_instruction=""
)


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({"input": "x", "input_type": "query"}, {"input": "问：x"}),
        ({"input": ["x", "y"], "input_type": "passage"}, {"input": ["文：x", "文：y"]}),
        ({"input": ["x"], "skip_unreadable_above": 0.5, "dimensions": 8}, {"input": ["x"], "dimensions": 8}),
        ({"input": [[1, 2]], "input_type": "query"}, {"input": [[1, 2]]}),
    ],
)
async def test_embeddings_get_the_instruction_of_their_type(given: dict[str, Any], seen: dict[str, Any]):
    asking = Client(FakeVllm(), EMBEDDER)
    await asking.ask("/v1/embeddings", given)
    assert asking.vllm.asked == [("/v1/embeddings", seen)]


@pytest.mark.parametrize("body", [{"input": "x", "input_type": "poem"}, {"input": "x", "input_type": []}, [], b"{"])
async def test_an_embedding_request_that_cannot_be_read_is_refused(body: Any):
    asking = Client(FakeVllm(), EMBEDDER)
    answer = await asking.ask("/v1/embeddings", body)
    assert (answer.status, answer.error["code"], asking.vllm.asked) == (400, "request.invalid", [])


async def test_a_ranking_is_on_our_wire():
    results = [{"index": 0, "document": {"text": "甲", "multi_modal": None}, "relevance_score": 0.5}]
    vllm = FakeVllm(body=json.dumps({"id": "r", "model": "m", "results": results, "usage": {}}).encode())
    without = (await Client(vllm).ask("/v1/rerank", {"query": "q", "documents": ["甲"]})).json["results"]
    shown = {"query": "q", "documents": ["甲"], "return_documents": True}
    with_them = (await Client(vllm).ask("/v1/rerank", shown)).json["results"]
    assert without == [{"index": 0, "relevance_score": 0.5}]
    assert with_them == [{"index": 0, "relevance_score": 0.5, "document": "甲"}]
    refused = await refusing(error("no", param="query")).ask("/v1/rerank", {"query": "q"})
    assert (refused.status, refused.error["param"]) == (400, "query")


METRICS = b"""# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="m"} %d.0
vllm:iteration_tokens_total_count{engine="0",model_name="m"} 3.0
"""


async def test_a_long_answer_that_is_not_streamed_gets_on_as_long_as_vllm_counts_tokens():
    asking = Client(FakeVllm(hold=asyncio.Event()))
    running = asyncio.create_task(asking.ask(CHAT))
    await asyncio.sleep(0.01)
    asking.vllm.hold = None
    silences = []
    for tokens in (5, 9, 9):
        asking.middleware._pulse.at -= 60
        asking.vllm.answers["/metrics"] = (200, METRICS % tokens)
        silences.append((await asking.vitals())["silent_seconds"] >= 60)
    running.cancel()
    assert silences == [False, False, True]
