"""How the remote engine asks: retries within a budget, time and size limits, cancellation, and what it never does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.foundation.errors import (
    ContextTooLong,
    ProviderFailed,
    ServiceUnreachable,
    TookTooLong,
    WorkerBusy,
)
from services.foundation.settings.providers import Provider
from services.wire.openai import EmbeddingRequest
from services.worker.engines.remote.openai_compatible import OpenAICompatibleEngine
from tests.contract.engine import KEY, MODEL, collect, text_of
from tests.contract.remote import GOOD, Reply, Script, chat_request, event, failure_of, provided, relaying, spec_at

pytestmark = pytest.mark.enable_socket


async def until(holds: Callable[[], bool], seconds: float = 1.0) -> None:
    """Wait, at most a second: that is how long a cancellation may take."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_passing_failure_is_tried_again(status: int):
    script = Script(events=GOOD, before=[Reply(status=status, body={}), Reply(status=status, body="no")])
    async with relaying(script) as engine:
        assert text_of(await collect(engine, chat_request())) == "hi"
    assert len(script.asked) == 3
    assert script.asked[0] == script.asked[2]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "no"}}),
        (401, "no"),
        (402, "no"),
        (404, "no"),
        (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}),
        (500, {"error": {"message": "This model's maximum context length is 5 tokens"}}),
        (501, "no"),
    ],
)
async def test_another_failure_is_not(status: int, body: object):
    script = Script(status=status, body=body)
    async with relaying(script) as engine:
        await failure_of(engine)
    assert len(script.asked) == 1


async def test_the_attempts_are_counted():
    script = Script(status=503, body={"error": {"message": "overloaded"}})
    async with relaying(script, retries={"count": 1, "first_wait_seconds": 0.01}) as engine:
        failed = await failure_of(engine)
    assert isinstance(failed, ProviderFailed)
    assert "overloaded" in str(failed)
    assert len(script.asked) == 2


async def test_retry_after_is_honoured_within_the_budget():
    script = Script(events=GOOD, before=[Reply(status=429, body={}, headers={"retry-after": "0.3"})])
    async with relaying(script) as engine:
        began = time.monotonic()
        assert text_of(await collect(engine, chat_request())) == "hi"
    assert 0.3 <= time.monotonic() - began < 2


async def test_a_retry_after_beyond_the_budget_is_told_at_once():
    script = Script(status=429, body={}, headers={"retry-after": "60"})
    async with relaying(script) as engine:
        began = time.monotonic()
        failed = await failure_of(engine)
    assert isinstance(failed, WorkerBusy)
    assert failed.facts["retry_after_seconds"] == 60
    assert time.monotonic() - began < 1
    assert len(script.asked) == 1


async def test_a_retry_after_with_a_date_is_no_number():
    script = Script(status=429, body={}, headers={"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"})
    async with relaying(script) as engine:
        failed = await failure_of(engine)
    assert "retry_after_seconds" not in failed.facts
    assert len(script.asked) == 3


async def test_nothing_is_tried_again_after_the_first_byte():
    script = Script(events=[event({"content": "half"}), '{"error": {"message": "down", "code": 503}}'])
    async with relaying(script) as engine:
        assert isinstance(await failure_of(engine), ProviderFailed)
    assert len(script.asked) == 1


@asynccontextmanager
async def raw(*answers: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives each connection one of the answers, byte for byte, and closes it."""
    seen: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        writer.write(answers[min(len(seen), len(answers)) - 1])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", seen
    finally:
        server.close()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
WHOLE = HEAD + "".join(f"data: {text}\n\n" for text in GOOD).encode()
CUT = b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + f"data: {GOOD[0]}\n\n".encode()


async def test_a_connection_that_is_closed_before_an_answer_is_made_again():
    async with raw(b"", b"", WHOLE) as (url, seen):
        async with relaying(Script(), base_url=url) as engine:
            assert text_of(await collect(engine, chat_request())) == "hi"
        assert len(seen) == 3


async def test_a_connection_that_is_closed_within_an_answer_is_a_failure():
    async with raw(CUT) as (url, seen):
        async with relaying(Script(), base_url=url) as engine:
            assert isinstance(await failure_of(engine), ServiceUnreachable)
        assert len(seen) == 1


async def test_the_first_byte_may_come_too_late():
    script = Script(events=GOOD, hang_seconds=1)
    async with relaying(script) as engine:
        failed = await failure_of(engine)
        assert isinstance(failed, TookTooLong)
        assert failed.facts["timeout_seconds"] == 0.4
        await until(lambda: script.abandoned == 1)
    assert len(script.asked) == 1


async def test_headers_are_no_first_byte():
    script = Script(pieces=[b"", b"data: [DONE]\n\n"], gap_seconds=1)
    async with relaying(script, timeouts={"first_byte_seconds": 0.2, "between_bytes_seconds": 5}) as engine:
        failed = await failure_of(engine)
    assert isinstance(failed, TookTooLong)
    assert failed.facts["timeout_seconds"] == 0.2


async def test_the_next_byte_may_come_too_late():
    script = Script(events=GOOD, gap_seconds=1)
    async with relaying(script, timeouts={"first_byte_seconds": 5, "between_bytes_seconds": 0.2}) as engine:
        failed = await failure_of(engine)
    assert isinstance(failed, TookTooLong)
    assert failed.facts["timeout_seconds"] == 0.2


async def test_comments_keep_a_slow_answer_alive():
    waiting = [b": keep-alive\n\n"] * 6
    script = Script(pieces=[*waiting, *(f"data: {text}\n\n".encode() for text in GOOD)], gap_seconds=0.1)
    async with relaying(script) as engine:
        assert text_of(await collect(engine, chat_request())) == "hi"


@pytest.mark.parametrize("headers_first", [True, False])
async def test_who_leaves_takes_the_connection_along(headers_first: bool):
    endless = f"data: {event({'content': 'more '})}\n\n".encode()
    script = Script(endless=endless, gap_seconds=0.02, hang_seconds=0 if headers_first else 30)
    async with relaying(script, timeouts={"first_byte_seconds": 60}) as engine:
        reading = asyncio.create_task(collect(engine, chat_request()))
        await until(lambda: bool(script.requests) and script.streaming == int(headers_first))
        reading.cancel()
        await until(lambda: script.streaming == 0 and script.abandoned == int(not headers_first))
        with pytest.raises(asyncio.CancelledError):
            await reading


async def test_who_leaves_between_two_attempts_is_not_kept():
    script = Script(status=503, body={}, headers={"retry-after": "15"})
    async with relaying(script) as engine:
        reading = asyncio.create_task(collect(engine, chat_request()))
        await until(lambda: len(script.requests) == 1)
        await asyncio.sleep(0.05)
        reading.cancel()
        async with asyncio.timeout(1):
            with pytest.raises(asyncio.CancelledError):
                await reading
    assert len(script.requests) == 1


@pytest.mark.parametrize("task", ["chat", "embedding"])
async def test_an_answer_that_does_not_end_is_cut_off(task: str):
    script = Script(endless=b"data: " + b"x" * 10_000 + b"\n\n" if task == "chat" else b" " * 10_000)
    async with relaying(script, task=task, answer_limit_bytes=100_000) as engine:
        asked: Awaitable[Any] = (
            failure_of(engine) if task == "chat" else engine.embed(EmbeddingRequest(model=MODEL, input="a"))
        )
        if task == "chat":
            assert "not JSON" in str(await asked)
        else:
            with pytest.raises(ProviderFailed, match="larger than 100000 bytes"):
                await asked
        await until(lambda: script.streaming == 0)


async def test_a_line_that_does_not_end_is_cut_off():
    script = Script(endless=b"x" * 10_000)
    async with relaying(script, answer_limit_bytes=100_000) as engine:
        assert "larger than 100000 bytes" in str(await failure_of(engine))


async def test_a_refusal_that_does_not_end_is_read_no_further():
    script = Script(status=500, endless=b"x" * 10_000)
    async with relaying(script, retries={"count": 0}) as engine:
        assert "HTTP 500: xxx" in str(await failure_of(engine))
        await until(lambda: script.streaming == 0)


async def test_where_a_redirect_points_is_not_asked():
    elsewhere = Script(events=GOOD)
    async with provided(elsewhere) as url:
        script = Script(status=307, body="", headers={"location": f"{url}/v1/chat/completions"})
        async with relaying(script) as engine:
            failed = await failure_of(engine)
    assert "HTTP 307: it points elsewhere" in str(failed)
    assert elsewhere.requests == []


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", "/dev/null")
    script = Script(events=GOOD)
    async with relaying(script) as engine:
        assert text_of(await collect(engine, chat_request())) == "hi"


async def test_the_proxy_of_the_settings_is_used_and_never_shown():
    script = Script(events=GOOD)
    async with provided(script) as url:
        proxy = url.replace("http://", f"http://user:{KEY}@")
        provider = Provider.model_validate({"base_url": "http://vendor.example/v1", "needs_key": False, "proxy": proxy})
        engine = OpenAICompatibleEngine(spec_at(provider))
        await engine.start()
        await collect(engine, chat_request())
        await engine.stop()
        assert KEY not in repr(provider) + provider.model_dump_json() + repr(engine)
        assert script.requests[0].url == "vendor.example/v1/chat/completions"


async def test_requests_side_by_side_are_retried_each_on_its_own():
    failures = [Reply(status=503, body={}) for _ in range(6)]
    script = Script(events=GOOD, before=failures)
    async with relaying(script, retries={"count": 8, "first_wait_seconds": 0.01}) as engine:
        answers = await asyncio.gather(*(collect(engine, chat_request()) for _ in range(4)))
    assert [text_of(chunks) for chunks in answers] == ["hi"] * 4
    assert len(script.asked) == 10


async def test_a_context_that_is_too_long_is_told_with_its_numbers():
    message = "Your request exceeded model token limit: 8192 (requested: 9000)"
    script = Script(status=400, body={"error": {"message": message, "type": "invalid_request_error"}})
    async with relaying(script) as engine:
        failed = await failure_of(engine)
    assert isinstance(failed, ContextTooLong)
    assert (failed.facts["tokens"], failed.facts["limit"]) == (9000, 8192)
