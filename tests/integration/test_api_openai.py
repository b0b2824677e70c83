"""A knowledge base as an OpenAI endpoint, asked by the official client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from services.foundation.errors import EngineFailed
from tests.integration.api_bench import BASE, LEAVE, SICK, ApiBench

ASKED = "员工每年的年假有多少天可以休息呢？"


@pytest.fixture
async def live(api: ApiBench) -> AsyncIterator[str]:
    await api.filled()
    async with api.live() as url:
        yield url


def client(url: str, base: str = BASE) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/knowledge_base/local_kb/{base}", api_key="none", max_retries=0)


async def test_the_official_client_gets_a_whole_answer_with_citations(api: ApiBench, live: str):
    async with client(live) as ask:
        answer = await ask.chat.completions.create(
            model="talk", messages=[{"role": "system", "content": "s"}, {"role": "user", "content": ASKED}]
        )
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", ASKED, "stop")
    assert answer.usage is not None
    assert answer.usage.total_tokens == 7 + len(ASKED)
    assert answer.model_extra is not None
    assert answer.model_extra["citations"][0]["file_name"] in {LEAVE[0], SICK[0]}
    assert api.model.requests[0].sampling.temperature is None


async def test_the_official_client_gets_a_stream(live: str):
    async with client(live) as ask:
        stream = await ask.chat.completions.create(
            model="talk",
            messages=[{"role": "user", "content": ASKED}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == ASKED
    assert len({chunk.id for chunk in chunks}) == 1
    *_, last, usage = chunks
    assert last.choices[0].finish_reason == "stop"
    assert last.model_extra is not None
    assert last.model_extra["citations"][0]["knowledge_base"] == BASE
    assert usage.usage is not None
    assert usage.usage.prompt_tokens == 7


async def test_the_official_client_hears_failures_in_its_own_dialect(api: ApiBench, live: str):
    async with client(live, "nowhere") as ask:
        with pytest.raises(openai.NotFoundError) as absent:
            await ask.chat.completions.create(model="talk", messages=[{"role": "user", "content": "x"}])
        assert absent.value.code == "knowledge_base.not_found"
    async with client(live) as ask:
        wrong: list[list[ChatCompletionMessageParam]] = [
            [{"role": "user", "content": " "}],
            [{"role": "assistant", "content": "x"}],
        ]
        for messages in wrong:
            with pytest.raises(openai.BadRequestError):
                await ask.chat.completions.create(model="talk", messages=messages)
        api.model.lines = [["一", EngineFailed(model="talk", reason="x")]]
        stream = await ask.chat.completions.create(
            model="talk", messages=[{"role": "user", "content": "x"}], stream=True
        )
        with pytest.raises(openai.APIError, match="failed"):
            async for _ in stream:
                pass


async def test_an_openai_client_that_leaves_stops_the_model(api: ApiBench, live: str):
    api.model.lines = [["一", asyncio.Event()]]
    async with client(live) as ask:
        stream = await ask.chat.completions.create(
            model="talk", messages=[{"role": "user", "content": ASKED}], stream=True
        )
        with contextlib.suppress(StopAsyncIteration):
            while (await anext(stream)).choices[0].delta.content != "一":
                pass
        await stream.close()
    async with asyncio.timeout(1):
        await api.model.broken_off.wait()


async def test_an_openai_client_that_leaves_an_unstreamed_answer_stops_the_model(api: ApiBench, live: str):
    api.model.lines = [["一", asyncio.Event()]]
    async with client(live) as ask:
        waiting = asyncio.create_task(
            ask.chat.completions.create(model="talk", messages=[{"role": "user", "content": ASKED}])
        )
        while not api.model.requests:
            await asyncio.sleep(0.01)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(1):
        await api.model.broken_off.wait()
