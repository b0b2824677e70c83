"""The engine of Tiangong's own wire, against a scripted server that speaks it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.foundation.errors import InvalidRequest, InvalidSetting, ProviderFailed
from services.foundation.settings.providers import Provider
from services.worker.engines.base import ChatEngine
from services.worker.engines.remote.reach import RemoteOptions, reach_of
from services.worker.engines.remote.tiangong import TiangongEngine, signature
from tests.contract.engine import KEY, STORY, ChatEngineContract, collect, text_of
from tests.contract.remote import Script, chat_request, failure_of, provided, spec_at

SECRET = "the-second-half-0123456789"


def line(reply: str | None, code: int = 200, sentence: str = "ok") -> bytes:
    body = {"code": code, "code_msg": sentence, "resp_data": None if reply is None else {"reply": reply}}
    return (json.dumps(body, ensure_ascii=False) + "\n").encode()


@asynccontextmanager
async def relaying(script: Script) -> AsyncIterator[TiangongEngine]:
    async with provided(script) as url:
        entry = {"base_url": f"{url}/saas/api/v4", "api_key": KEY, "secret_key": SECRET, "tasks": ["chat"]}
        engine = TiangongEngine(spec_at(Provider.model_validate(entry), model="SkyChat-MegaVerse"))
        await engine.start()
        yield engine
        await engine.stop()


@pytest.mark.enable_socket
class TestTiangong(ChatEngineContract):
    @pytest.fixture
    def script(self) -> Script:
        words = [STORY[start : start + 7] for start in range(0, len(STORY), 7)]
        return Script(pieces=[line(word) for word in words], gap_seconds=0.002)

    @pytest.fixture
    async def engine(self, script: Script) -> AsyncIterator[TiangongEngine]:
        self.served = script
        async with relaying(script) as engine:
            yield engine

    async def is_at_rest(self, engine: ChatEngine) -> bool:
        return self.served.streaming == 0

    async def test_a_request_is_signed_and_in_its_words(self, engine: TiangongEngine, script: Script):
        messages = [{"role": "system", "content": "be brief"}, {"role": "assistant", "content": "yes"}]
        messages.append({"role": "user", "content": "hello"})
        asked = {"messages": messages, "temperature": 0.5, "max_completion_tokens": 900, "stop": ["\n"], "user": "ann"}

        await collect(engine, chat_request(**asked, stream=True, n=1))

        (request,) = script.requests
        assert request.url.endswith("/saas/api/v4/generate")
        assert request.fields == {
            "model": "SkyChat-MegaVerse",
            "messages": [messages[0], {"role": "bot", "content": "yes"}, messages[2]],
            "param": {"temperature": 0.5, "generate_length": 900},
        }
        assert request.headers["app_key"] == KEY
        assert request.headers["stream"] == "true"
        content = f"{KEY}{SECRET}{request.headers['timestamp']}".encode()
        assert request.headers["sign"] == hashlib.md5(content, usedforsecurity=False).hexdigest()
        assert "authorization" not in request.headers

    async def test_a_failure_it_reports(self, engine: TiangongEngine, script: Script):
        script.pieces = [line("half "), line(None, 40001, f"no balance for {KEY} {SECRET}")]
        failed = await failure_of(engine)
        assert isinstance(failed, ProviderFailed)
        assert "no balance for *** ***" in str(failed)

    async def test_events_and_empty_lines_are_read_too(self, engine: TiangongEngine, script: Script):
        script.pieces = [b"data:" + line("one ") + b"\n\n", line(None), line("two")]
        assert text_of(await collect(engine, chat_request())) == "one two"

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"tools": []}, "tools"),
            ({"seed": 3}, "seed"),
            ({"response_format": {"type": "json_object"}}, "response_format"),
            ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages"),
            ({"messages": [{"role": "tool", "content": "4", "tool_call_id": "c"}]}, "messages"),
        ],
    )
    async def test_what_it_does_not_know_is_refused_by_name(
        self, engine: TiangongEngine, script: Script, fields: dict[str, object], named: str
    ):
        request = chat_request(**fields)
        with pytest.raises(InvalidRequest) as refused:
            await collect(engine, request)
        assert refused.value.facts["field"] == named
        assert script.requests == []


def test_the_signature_is_the_md5_of_key_secret_and_seconds():
    provider = Provider.model_validate({"base_url": "http://x", "api_key": KEY, "secret_key": SECRET})
    headers = signature(reach_of(spec_at(provider), RemoteOptions()), lambda: 1700000000.9)

    sign = hashlib.md5(f"{KEY}{SECRET}1700000000".encode(), usedforsecurity=False).hexdigest()
    assert headers == {"app_key": KEY, "timestamp": "1700000000", "sign": sign, "stream": "true"}


async def test_half_a_key_is_no_key():
    entry = {"base_url": "http://x", "api_key": KEY, "key_variable": "A_KEY", "secret_variable": "A_SECRET"}
    engine = TiangongEngine(spec_at(Provider.model_validate(entry)))
    with pytest.raises(InvalidSetting, match="set the environment variable A_KEY and A_SECRET"):
        await engine.start()
