"""What the transformers engine says: which tokens, as which text, and the calls of tools in it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from services.foundation.errors import (
    InvalidRequest,
)
from services.wire.openai import ChatChunk, ChatCompletionRequest
from services.worker.answers.assembly import whole_chat
from services.worker.engines.local.transformers.detokenizing import Detokenizer
from services.worker.engines.local.transformers.engine import TransformersEngine
from services.worker.engines.local.transformers.loading import Loaded
from tests.contract.engine import MODEL, collect, reason_of, text_of
from tests.contract.transformers_engine import asking, load, started, usage_of, user
from tests.tiny_models import make_chat_model

CLOCK = {
    "type": "function",
    "function": {"name": "clock", "description": "The time.", "parameters": {"type": "object"}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_chat_model(tmp_path_factory.mktemp("weights") / "chat")


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Loaded:
    return load(folder)


@pytest.fixture(scope="module")
def lively(folder: Path) -> Loaded:
    """Weights so large that the likeliest token changes with every step."""
    import torch

    lively = load(folder)
    with torch.no_grad():
        for weights in lively.model.parameters():
            weights.mul_(6.0)
    return lively


@pytest.fixture
async def engine(loaded: Loaded) -> AsyncIterator[TransformersEngine]:
    engine = await started(loaded)
    yield engine
    await engine.stop()


class TestTokens:
    @pytest.mark.parametrize("interval", [1, 5])
    @pytest.mark.parametrize("penalty", [1.0, 1.3])
    async def test_greedy_decoding_is_what_transformers_generates(self, lively: Loaded, interval: int, penalty: float):
        import torch

        engine = await started(lively, stream_interval=interval)
        model: Any = lively.model
        tokenizer: Any = lively.tokenizer
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": "many words " * 80}], add_generation_prompt=True, return_tensors="pt"
        )["input_ids"]
        generated = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=32,
            repetition_penalty=penalty,
        )[0, prompt.shape[1] :].tolist()

        request = asking("many words " * 80, temperature=0, repetition_penalty=penalty, max_tokens=32)
        chunks = await collect(engine, request)

        assert prompt.shape[1] > 130, "the prompt is read in two steps"
        assert len(set(generated)) > 10
        assert text_of(chunks) == tokenizer.decode(generated, skip_special_tokens=True).replace("�", "")
        assert usage_of(chunks) == (prompt.shape[1], 32)
        await engine.stop()

    async def test_another_seed_says_something_else(self, engine: TransformersEngine):
        said = [text_of(await collect(engine, asking(seed=seed, max_tokens=16))) for seed in (1, 2, 1, -5, 2**70)]

        assert said[0] == said[2]
        assert len(set(said)) == 4

    async def test_without_a_seed_it_differs(self, engine: TransformersEngine):
        first, second = [text_of(await collect(engine, asking(seed=None, max_tokens=16))) for _ in range(2)]

        assert first != second

    @pytest.mark.parametrize("fields", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}, {"temperature": 1e-9}])
    async def test_the_narrowest_draw_is_the_likeliest_token(self, engine: TransformersEngine, fields: dict[str, Any]):
        greedy = text_of(await collect(engine, asking(temperature=0, max_tokens=8)))

        assert text_of(await collect(engine, asking(**fields, max_tokens=8))) == greedy

    async def test_penalties_keep_it_from_repeating(self, engine: TransformersEngine):
        plain = (await counted(engine, asking(temperature=0, max_tokens=20))).values()
        varied = (await counted(engine, asking(temperature=0, max_tokens=20, frequency_penalty=2))).values()

        assert max(plain) > max(varied)

    async def test_a_bias_decides(self, engine: TransformersEngine, loaded: Loaded):
        (wanted,) = loaded.tokenizer.encode("x", add_special_tokens=False)

        chunks = await collect(engine, asking(logit_bias={str(wanted): 100}, max_tokens=5))

        assert text_of(chunks) == "xxxxx"

    async def test_the_end_token_ends_it_and_is_counted(self, engine: TransformersEngine, loaded: Loaded):
        (end,) = loaded.end_ids

        chunks = await collect(engine, asking(logit_bias={str(end): 100}))

        assert (text_of(chunks), reason_of(chunks), usage_of(chunks)[1]) == ("", "stop", 1)

    async def test_min_tokens_and_ignore_eos_hold_it_off(self, engine: TransformersEngine, loaded: Loaded):
        (end,) = loaded.end_ids
        forced = {"logit_bias": {str(end): 100}, "max_tokens": 12}

        least = await collect(engine, asking(**forced, min_tokens=6))
        whole = await collect(engine, asking(**forced, ignore_eos=True))

        assert (usage_of(least)[1], reason_of(least)) == (7, "stop")
        assert (usage_of(whole)[1], reason_of(whole), text_of(whole)) == (12, "length", "")

    async def test_logprobs_are_those_of_the_tokens_said(self, engine: TransformersEngine):
        chunks = await collect(engine, asking(temperature=0, max_tokens=6, logprobs=True, top_logprobs=3))

        entries = [entry for chunk in chunks for entry in logprobs_in(chunk)]
        assert len(entries) == 6
        assert "".join(entry["token"] for entry in entries) == text_of(chunks)
        for entry in entries:
            assert entry["top_logprobs"][0]["logprob"] == pytest.approx(entry["logprob"])
            assert len(entry["top_logprobs"]) == 3
            assert entry["logprob"] < 0
            assert bytes(entry["bytes"]).decode() == entry["token"]

    @pytest.mark.parametrize(
        "text", ["Hello, wörld!", "港口位于老城的北面，冬天会结冰。", "⚓🚢👩‍👩‍👧 ok", "a  b\n\tc", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]
    )
    def test_text_survives_token_by_token(self, loaded: Loaded, text: str):
        detokenizer = Detokenizer(loaded.tokenizer)

        pieces = [detokenizer.feed(ident) for ident in loaded.tokenizer.encode(text, add_special_tokens=False)]

        assert "".join(pieces) + detokenizer.rest() == text
        assert not any("�" in piece for piece in pieces)

    def test_broken_bytes_are_left_out_and_do_not_hold_up_what_follows(self, loaded: Loaded):
        detokenizer = Detokenizer(loaded.tokenizer)
        (half, *_) = loaded.tokenizer.encode("🚢", add_special_tokens=False)

        pieces = [detokenizer.feed(half) for _ in range(20)]
        pieces += [detokenizer.feed(ident) for ident in loaded.tokenizer.encode("ok", add_special_tokens=False)]

        assert "".join(pieces) + detokenizer.rest() == "ok"


async def counted(engine: TransformersEngine, request: ChatCompletionRequest) -> dict[str, int]:
    """How often each token was said."""
    entries = [
        entry
        for chunk in await collect(engine, request.model_copy(update={"logprobs": True}))
        for entry in logprobs_in(chunk)
    ]
    return {token: [entry["token"] for entry in entries].count(token) for token in {e["token"] for e in entries}}


def logprobs_in(chunk: ChatChunk) -> list[dict[str, Any]]:
    return [
        entry for choice in chunk.choices for entry in (choice.model_extra or {}).get("logprobs", {}).get("content", [])
    ]


class TestTools:
    async def test_they_are_told_in_the_models_own_template(self, engine: TransformersEngine):
        without = usage_of(await collect(engine, asking(max_tokens=1)))[0]
        told = usage_of(await collect(engine, asking(max_tokens=1, tools=[CLOCK])))[0]
        untold = usage_of(await collect(engine, asking(max_tokens=1, tools=[CLOCK], tool_choice="none")))[0]

        assert told > without + 20
        assert untold == without

    async def test_a_call_becomes_a_call(self, loaded: Loaded):
        said = (
            '<think>Hm.</think>One moment.\n<tool_call>\n{"name": "clock", "arguments": {"zone": "杭州"}}\n</tool_call>'
        )
        engine = await started(reciting(loaded, said))

        whole = await whole_chat(MODEL, engine.chat(asking(tools=[CLOCK], temperature=0)))  # type: ignore[arg-type]

        (choice,) = whole.choices
        extra = choice.message.model_extra
        assert extra is not None
        assert (choice.message.content, choice.finish_reason) == ("One moment.", "tool_calls")
        assert extra["reasoning"] == "Hm."
        (call,) = extra["tool_calls"]
        assert call["function"]["name"] == "clock"
        assert json.loads(call["function"]["arguments"]) == {"zone": "杭州"}

    async def test_with_one_call_at_a_time_the_first_ends_it(self, loaded: Loaded):
        said = '<tool_call>{"name": "clock", "arguments": {}}</tool_call>\n' * 3
        engine = await started(reciting(loaded, said))

        request = asking(tools=[CLOCK], temperature=0, parallel_tool_calls=False)
        whole = await whole_chat(MODEL, engine.chat(request))  # type: ignore[arg-type]

        assert len((whole.choices[0].message.model_extra or {})["tool_calls"]) == 1
        assert whole.choices[0].finish_reason == "tool_calls"

    async def test_a_call_that_cannot_be_read_is_text(self, loaded: Loaded):
        said = "<tool_call>clock()</tool_call>"
        engine = await started(reciting(loaded, said))

        chunks = await collect(engine, asking(tools=[CLOCK], temperature=0))

        assert (text_of(chunks), reason_of(chunks)) == (said, "stop")

    async def test_a_history_with_calls_is_read(self, engine: TransformersEngine):
        call = {"id": "c1", "type": "function", "function": {"name": "clock", "arguments": '{"zone": "杭州"}'}}
        history = [
            {"role": "developer", "content": "Be brief."},
            user("What time is it?"),
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "noon"},
        ]

        chunks = await collect(engine, asking(messages=history, tools=[CLOCK], max_tokens=2))

        assert usage_of(chunks)[0] > 60

    async def test_a_conversation_the_template_refuses_is_the_requests_fault(self, loaded: Loaded):
        tokenizer = type(loaded.tokenizer).from_pretrained(loaded.tokenizer.name_or_path)
        tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
        engine = await started(replace(loaded, tokenizer=tokenizer))

        with pytest.raises(InvalidRequest, match="roles must alternate"):
            await anext(engine.chat(asking()))
        with pytest.raises(InvalidRequest, match="knows no tools"):
            await anext(engine.chat(asking(tools=[CLOCK])))


def reciting(loaded: Loaded, text: str) -> Loaded:
    """The same, with a network that says `text` whatever it is asked."""
    import torch

    idents = [*loaded.tokenizer.encode(text, add_special_tokens=False), *loaded.end_ids]

    class Reciting(torch.nn.Module):
        generation_config = None

        def forward(self, input_ids: Any, past_key_values: Any = None, use_cache: bool = True) -> Any:
            said = past_key_values or 0
            said = said + 1 if input_ids[0].tolist() == idents[said : said + 1] else 0  # else it reads the prompt
            logits = torch.zeros(1, input_ids.shape[1], loaded.model.config.vocab_size)
            logits[0, -1, idents[min(said, len(idents) - 1)]] = 9.0
            return Said(logits, said)

    return replace(loaded, model=cast("Any", Reciting()))


@dataclass
class Said:
    """What a network returns."""

    logits: Any
    past_key_values: Any
