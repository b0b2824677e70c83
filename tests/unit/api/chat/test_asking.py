"""What a request asks for: its own words over its preset, its preset over the defaults."""

from __future__ import annotations

from typing import Any

import pytest

from services.api.chat.asking import Asking
from services.api.chat.condensing import RuleCondenser
from services.api.chat.speaking import Speaker
from services.api.domain.answering import Manner, Sampling
from services.api.domain.knowledge import AnsweringChoice
from services.foundation.errors import InvalidRequest, UnknownVariant
from services.foundation.settings.load import read_settings
from services.foundation.settings.tree import Preset, ServedModel
from services.wire.chatchat import ChatRequest, KnowledgeBaseChatRequest
from tests.architecture.sources import ROOT
from tests.fakes.chat_model import FakeChatModel
from tests.unit.api.chat.samples import PROMPTS

PRESETS = {
    "exact": Preset(temperature=0.1, history_turns=0, top_k=1, repetition_penalty=1.2),
    "bare": Preset(),
}
SERVED = {
    "local": ServedModel(task="chat", engine="vllm"),
    "remote": ServedModel(task="chat", engine="openai_compatible", remote=True),
    "told": ServedModel(task="chat", engine="openai_compatible", repetition_penalty=True),
    "untold": ServedModel(task="chat", engine="transformers", repetition_penalty=False),
}
SPEAKER = Speaker(FakeChatModel(), PROMPTS, RuleCondenser(), served=SERVED)


def chat(model: str = "local", **body: Any) -> Asking:
    return Asking(ChatRequest(query="q", **body), model, SPEAKER, PRESETS)


def grounded(model: str = "local", **body: Any) -> Asking:
    asked = KnowledgeBaseChatRequest(query="q", knowledge_base_name="b", **body)
    return Asking(asked, model, SPEAKER, PRESETS)


def test_without_a_preset_all_is_as_it_was():
    assert grounded().sampling() == Sampling(0.7)
    assert grounded().manner("en") == Manner(language="en")
    assert grounded().top_k(3) == 3
    assert chat().kept_turns(-1) == -1
    assert chat(max_tokens=-1).sampling().max_tokens is None


def test_a_preset_fills_what_the_request_leaves_out():
    asking = grounded(preset="exact")
    assert asking.sampling() == Sampling(0.1, None, 1.2)
    assert asking.top_k(3) == 1
    assert asking.manner("en").history_turns == 0
    assert chat(preset="exact").kept_turns(-1) == 0


def test_what_the_request_says_wins_over_its_preset():
    body: dict[str, Any] = {"temperature": 0.7, "top_k": 3, "history_len": 4, "repetition_penalty": 1.5}
    asking = grounded(preset="exact", **body)
    assert asking.sampling() == Sampling(0.7, None, 1.5)
    assert asking.top_k(3) == 3
    assert asking.manner("en").history_turns == 4
    assert chat(preset="exact", history_len=5).kept_turns(5) == 5
    assert chat(preset="exact", history=5).kept_turns(5) == 5


def test_a_preset_that_says_nothing_changes_nothing():
    asking = grounded(preset="bare")
    assert (asking.sampling(), asking.top_k(3), asking.manner("en").history_turns) == (Sampling(0.7), 3, None)


def test_plain_chat_minds_history_len_for_kept_turns_only():
    assert chat(history_len=3).manner("en").history_turns is None
    assert chat(preset="exact", history_len=-1).manner("en").history_turns is None
    assert grounded(history_len=3).manner("en").history_turns == 3


def test_an_unknown_preset_is_named_with_those_there_are():
    with pytest.raises(UnknownVariant, match=r"no preset named 'x'\. Known: bare, exact"):
        chat(preset="x")
    with pytest.raises(UnknownVariant, match="Known: none"):
        Asking(ChatRequest(query="q", preset="x"), "local", SPEAKER, {})


@pytest.mark.parametrize(
    ("model", "sent"), [("local", 1.2), ("told", 1.2), ("remote", None), ("untold", None), ("nowhere", None)]
)
def test_a_presets_penalty_is_sent_to_models_that_take_it(model: str, sent: float | None):
    assert chat(model, preset="exact").sampling().repetition_penalty == sent


@pytest.mark.parametrize("model", ["remote", "untold"])
def test_a_penalty_that_is_asked_for_and_not_taken_is_refused(model: str):
    with pytest.raises(InvalidRequest, match=f"'repetition_penalty' is not valid: the model '{model}' does not"):
        chat(model, repetition_penalty=1.1).sampling()


@pytest.mark.parametrize("model", ["local", "told", "nowhere"])
def test_a_penalty_that_is_asked_for_is_sent(model: str):
    assert chat(model, repetition_penalty=1.1).sampling().repetition_penalty == 1.1


def test_the_presets_that_are_shipped():
    assert read_settings(ROOT / "configs").presets == {
        "knowledge_base_chat": Preset(temperature=0.1, history_turns=0, top_k=1, repetition_penalty=1.2),
        "llm_chat": Preset(temperature=0.7, history_turns=10, repetition_penalty=1.2),
    }


def about_a_base(base: AnsweringChoice, **body: Any) -> Asking:
    asked = KnowledgeBaseChatRequest(query="q", knowledge_base_name="b", **body)
    return Asking(asked, "local", SPEAKER, PRESETS, base)


def test_a_base_says_what_the_request_leaves_out():
    manner = about_a_base(AnsweringChoice("strict", 0.4, "refine", "exact")).manner("en")
    assert (manner.when_nothing_found, manner.sufficient_relevance, manner.strategy) == ("strict", 0.4, "refine")
    assert manner.history_turns == 0
    assert about_a_base(AnsweringChoice(preset="exact")).top_k(3) == 1


def test_a_request_wins_over_its_base():
    body: dict[str, Any] = {"when_nothing_found": "free", "sufficient_relevance": 0.0, "strategy": "stuff"}
    asking = about_a_base(AnsweringChoice("strict", 0.4, "refine", "exact"), preset="bare", **body)
    manner = asking.manner("en")
    assert (manner.when_nothing_found, manner.sufficient_relevance, manner.strategy) == ("free", 0.0, "stuff")
    assert asking.top_k(3) == 3


def test_a_base_may_name_a_preset_that_is_no_more():
    with pytest.raises(UnknownVariant) as told:
        about_a_base(AnsweringChoice(preset="gone"))
    assert "bare, exact" in str(told.value)
