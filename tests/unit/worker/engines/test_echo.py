from __future__ import annotations

import pytest

from services.foundation.errors import EngineFailed, InvalidSetting
from services.wire.openai import ChatChunk, ChatCompletionRequest
from services.worker.engines.echo import EchoEngine
from tests.contract.engine import collect, spec, text_of


def request(*said: tuple[str, str]) -> ChatCompletionRequest:
    messages = [{"role": role, "content": text} for role, text in said]
    return ChatCompletionRequest.model_validate({"model": "m", "messages": messages})


async def test_prefix_and_the_last_user_message():
    engine = EchoEngine(spec(prefix="you said: ", pieces=3))

    chunks = await collect(engine, request(("system", "s"), ("user", "first"), ("assistant", "a"), ("user", "last")))

    assert [text_of([chunk]) for chunk in chunks if text_of([chunk])] == ["you ", "said: ", "last"]


async def test_without_a_user_there_is_nothing_to_repeat():
    assert text_of(await collect(EchoEngine(spec()), request(("system", "s")))) == ""


async def test_it_fails_where_it_is_told_to():
    engine = EchoEngine(spec(fail_after=2, pieces=4))
    seen: list[ChatChunk] = []

    async def read() -> None:
        async for chunk in engine.chat(request(("user", "a b c d"))):
            seen.append(chunk)  # noqa: PERF401 - what came before the failure counts

    with pytest.raises(EngineFailed):
        await read()
    assert text_of(seen) == "a b "


@pytest.mark.parametrize("options", [{"pieces": 0}, {"delay": 1}, {"delay_seconds": -1}])
def test_wrong_options(options: dict[str, object]):
    with pytest.raises(InvalidSetting, match=next(iter(options))):
        EchoEngine(spec(**options))
