"""The transformers engine on a tiny model of random weights: the suite, admission, endurance, loading."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from services.foundation.errors import (
    ContextTooLong,
    EngineFailed,
    InvalidRequest,
    InvalidSetting,
    NoWorker,
    OutOfMemory,
)
from services.wire.openai import ChatCompletionRequest, TokenizeRequest
from services.worker.engines.base import ChatEngine
from services.worker.engines.local.transformers.decoding import Decoding
from services.worker.engines.local.transformers.engine import TransformersEngine
from services.worker.engines.local.transformers.loading import Loaded
from tests.contract.engine import MODEL, ChatEngineContract, collect, reason_of, spec, text_of
from tests.contract.transformers_engine import SEED, asking, load, started, usage_of, user
from tests.tiny_models import CONTEXT_TOKENS, make_chat_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_chat_model(tmp_path_factory.mktemp("weights") / "chat")


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Loaded:
    return load(folder)


@pytest.fixture
async def engine(loaded: Loaded) -> AsyncIterator[TransformersEngine]:
    engine = await started(loaded)
    yield engine
    await engine.stop()


def decodings() -> int:
    gc.collect()
    return sum(type(each) is Decoding for each in gc.get_objects())  # isinstance would ask torch's odd ones


class TestSuite(ChatEngineContract):
    """Noise ends by chance only, so a stop string that it contains ends it."""

    ending = ""

    @pytest.fixture
    async def engine(self, loaded: Loaded) -> AsyncIterator[TransformersEngine]:
        engine = await started(loaded)
        if not self.ending:
            noise = text_of(await collect(engine, super().asking(**SEED, max_tokens=80)))
            type(self).ending = next(
                noise[place : place + 5]
                for place in range(len(noise) // 2, len(noise))
                if noise.index(noise[place : place + 5]) == place
            )
        yield engine
        await engine.stop()

    def asking(self, **fields: object) -> ChatCompletionRequest:
        return super().asking(**{**SEED, "stop": [self.ending], **fields})

    async def is_at_rest(self, engine: ChatEngine) -> bool:
        await cast("TransformersEngine", engine)._run(lambda: None)  # its one thread has come to the end of its work
        return True


class TestAdmission:
    async def test_the_limit_is_the_context_less_one_token_for_the_answer(self, engine: TransformersEngine):
        counted = await engine.tokenize(TokenizeRequest.model_validate({"model": MODEL, "messages": [user("")]}))
        room = CONTEXT_TOKENS - counted.count  # of a control character each is a token

        chunks = await collect(engine, asking("\x01" * (room - 1)))
        with pytest.raises(ContextTooLong) as refused:
            await anext(engine.chat(asking("\x01" * room)))

        assert usage_of(chunks) == (CONTEXT_TOKENS - 1, 1)
        assert reason_of(chunks) == "length"
        assert refused.value.facts == {"model": MODEL, "tokens": CONTEXT_TOKENS, "limit": CONTEXT_TOKENS - 1}

    async def test_a_longer_answer_than_fits_is_cut_to_the_room(self, engine: TransformersEngine):
        chunks = await collect(engine, asking("many words " * 100, max_tokens=5000, ignore_eos=True))

        assert sum(usage_of(chunks)) == CONTEXT_TOKENS

    async def test_the_operators_limit_holds_where_a_request_names_none(self, loaded: Loaded):
        engine = await started(loaded, max_new_tokens=3)

        assert usage_of(await collect(engine, asking()))[1] == 3
        assert usage_of(await collect(engine, asking(max_tokens=5)))[1] == 5

    async def test_pictures_are_refused(self, engine: TransformersEngine):
        picture = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "data:…"}}]

        with pytest.raises(InvalidRequest, match="image_url"):
            await anext(engine.chat(asking(picture)))

    async def test_text_parts_are_joined(self, engine: TransformersEngine):
        parts = [{"type": "text", "text": "What lies "}, {"type": "text", "text": "in the north?"}]

        assert text_of(await collect(engine, asking(parts, max_tokens=8))) == text_of(
            await collect(engine, asking(max_tokens=8))
        )

    async def test_before_it_has_started_and_after_it_has_stopped_there_is_no_worker(self, loaded: Loaded):
        engine = TransformersEngine(spec(path="loaded"), load=lambda *_: loaded)
        with pytest.raises(NoWorker):
            await anext(engine.chat(asking()))
        await engine.start()
        await engine.stop()
        with pytest.raises(NoWorker):
            await anext(engine.chat(asking()))


class TestEndurance:
    async def test_a_closed_stream_frees_the_thread_for_others(self, loaded: Loaded):
        engine = await started(loaded)
        long = engine.chat(asking(ignore_eos=True))
        async for chunk in long:
            if text_of([chunk]):
                break
        began = time.monotonic()

        await long.aclose()  # type: ignore[attr-defined]
        await collect(engine, asking(max_tokens=1))

        assert time.monotonic() - began < 1.0
        assert decodings() == 0

    async def test_a_cancelled_request_leaves_nothing(self, engine: TransformersEngine):
        task = asyncio.create_task(collect(engine, asking(ignore_eos=True)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        await collect(engine, asking(max_tokens=1))

        assert decodings() == 0

    async def test_answers_take_turns(self, loaded: Loaded):
        engine = await started(loaded, limit_worker_concurrency=2)
        long = asyncio.create_task(collect(engine, asking(ignore_eos=True)))
        await asyncio.sleep(0.05)

        await collect(engine, asking(max_tokens=3))

        assert not long.done()
        long.cancel()
        await asyncio.gather(long, return_exceptions=True)

    async def test_out_of_memory_is_said_and_survived(self, loaded: Loaded):
        engine = await started(greedy_for_memory(loaded))

        with pytest.raises(OutOfMemory) as refused:
            await collect(engine, asking("many words " * 200))

        assert "allocate" in str(refused.value)
        assert usage_of(await collect(engine, asking(max_tokens=4)))[1] == 4

    async def test_any_other_failure_of_the_network_is_an_engine_failure(self, loaded: Loaded):
        with pytest.raises(EngineFailed, match="multiplied"):
            await started(failing(loaded))

    @pytest.mark.parametrize("dtype", ["float32", "auto"])
    async def test_memory_does_not_grow_with_the_turns(self, folder: Path, dtype: str):
        engine = TransformersEngine(spec(path=str(folder), dtype=dtype))
        await engine.start()
        process, sizes = psutil.Process(), []
        for turn in range(200):
            words = "many words " * (turn * 7 % 50)
            await collect(engine, asking(f"Turn {turn}: {words}", seed=turn, max_tokens=2))
            sizes.append(process.memory_info().rss)
        await engine.stop()

        assert sizes[-1] - sizes[50] < 32 * 2**20


def greedy_for_memory(loaded: Loaded) -> Loaded:
    """The same, with a network that asks for a petabyte when a prompt is long."""
    import torch

    class Greedy(torch.nn.Module):
        generation_config = loaded.model.generation_config

        def forward(self, input_ids: Any, past_key_values: Any = None, use_cache: bool = True) -> Any:
            said = loaded.model(input_ids=input_ids, past_key_values=past_key_values, use_cache=use_cache)
            if said.past_key_values.get_seq_length() > 300:
                torch.empty(2**50)
            return said

    return replace(loaded, model=cast("Any", Greedy()))


def failing(loaded: Loaded) -> Loaded:
    import torch

    class Failing(torch.nn.Module):
        generation_config = None

        def forward(self, input_ids: Any, past_key_values: Any = None, use_cache: bool = True) -> Any:
            return torch.ones(2, 3) @ torch.ones(2, 3)

    return replace(loaded, model=cast("Any", Failing()))


class TestLoading:
    async def test_from_a_folder_to_an_answer(self, folder: Path):
        engine = TransformersEngine(replace(spec(path=folder.name), model_dir=folder.parent))
        await engine.start()

        counted = await engine.tokenize(TokenizeRequest(model=MODEL, prompt="港口 lies"))
        answered = await collect(engine, asking(max_tokens=4))

        assert counted.max_model_len == CONTEXT_TOKENS, "the model's own limit is below the entry's"
        assert counted.count == len(counted.tokens) > 0
        assert usage_of(answered)[1] == 4
        await engine.stop()

    async def test_an_operators_chat_template_replaces_the_models(self, folder: Path, tmp_path: Path):
        template = tmp_path / "template.jinja"
        template.write_text("{{ messages[-1].content }}{{ ending }}", encoding="utf-8")
        given = {"chat_template": str(template), "chat_template_kwargs": {"ending": "!"}}
        engine = await started(load(folder, **given), **given)

        counted = await engine.tokenize(TokenizeRequest.model_validate({"model": MODEL, "messages": [user("hello")]}))
        plain = await engine.tokenize(TokenizeRequest(model=MODEL, prompt="hello!"))

        assert counted.tokens == plain.tokens

    def test_a_model_without_a_chat_template_is_refused(self, folder: Path, tmp_path: Path):
        bare = tmp_path / "bare"
        bare.mkdir()
        for file in folder.iterdir():
            if file.name != "chat_template.jinja":
                (bare / file.name).symlink_to(file)

        with pytest.raises(InvalidSetting, match="chat_template"):
            load(bare)

    def test_weights_that_cannot_be_loaded_are_an_engine_failure(self, folder: Path, tmp_path: Path):
        odd = tmp_path / "odd"
        odd.mkdir()
        for file in folder.iterdir():
            (odd / file.name).symlink_to(file)
        (odd / "config.json").unlink()
        (odd / "config.json").write_text('{"model_type": "no-such-model"}')

        with pytest.raises(EngineFailed, match="no-such-model"):
            load(odd)

    def test_an_absent_device_is_named(self, folder: Path):
        with pytest.raises(InvalidSetting, match=r"options\.device"):
            load(folder, device="cuda:7")

    def test_a_gguf_file_is_another_engines(self, folder: Path, tmp_path: Path):
        (tmp_path / "small.gguf").write_bytes(b"GGUF")

        with pytest.raises(InvalidSetting, match=r"llama\.cpp"):
            load(tmp_path / "small.gguf")
