"""What was chosen becomes the request: nothing is said that was not chosen, so that presets and settings hold."""

from __future__ import annotations

import pytest

from services.wire.chatchat import (
    AnsweringOptions,
    BaseAnswering,
    ChatRequest,
    FileChatRequest,
    KnowledgeBaseChatRequest,
    KnowledgeBaseDetails,
    PresetBody,
    ServedModelBody,
)
from webui.asking import (
    ChatChoices,
    Wishes,
    first_temperature,
    first_top_k,
    history_of,
    options_of,
    own_preset,
    request_for,
    turns_for,
    unless_same,
)
from webui.state import Address, Ending, Mode, Session, Turn

MODEL = ServedModelBody(name="m", task="chat", engine="e", running=True, is_default=True)
BASE = KnowledgeBaseDetails(
    name="b", description="", embedding_model="e", vector_store="v", file_count=0, created_at=""
)
OPTIONS = AnsweringOptions(
    presets=[], strategies=["auto"], memories=["window"], policies=["free"], strategy="auto", memory="window",
    when_nothing_found="free", top_k=7,
)  # fmt: skip
ALWAYS = {"query", "history", "model_name", "conversation_id"}


def session() -> Session:
    return Session(address=Address("o" * 32, "en", "c1"), turns=[Turn("q", "a")])


def test_a_question_becomes_the_request_of_its_mode() -> None:
    asked = request_for("next", ChatChoices(Mode.KNOWLEDGE, MODEL, BASE, Wishes(top_k=4)), session())
    assert isinstance(asked, KnowledgeBaseChatRequest)
    assert (asked.knowledge_base_name, asked.top_k, asked.conversation_id, asked.explain) == ("b", 4, "c1", True)
    assert [item.content for item in asked.history] == ["q", "a"]
    plain = request_for("next", ChatChoices(Mode.MODEL, MODEL, None, Wishes(temperature=0.2)), session())
    assert isinstance(plain, ChatRequest)
    assert plain.temperature == 0.2
    assert not ChatChoices(Mode.KNOWLEDGE, MODEL, None).can_ask
    assert not ChatChoices(Mode.MODEL, None, None).can_ask


def test_a_question_to_files_is_asked_like_one_to_a_base() -> None:
    wishes = Wishes(top_k=4, strategy="refine", when_nothing_found="strict", memory="window")
    choices = ChatChoices(Mode.FILES, MODEL, None, wishes, files="t1")
    assert choices.can_ask
    assert not ChatChoices(Mode.FILES, MODEL, None).can_ask
    asked = request_for("next", choices, session())
    assert isinstance(asked, FileChatRequest)
    said = asked.model_dump(include=asked.model_fields_set - ALWAYS)
    assert said == {
        "knowledge_id": "t1", "explain": True, "top_k": 4, "strategy": "refine", "when_nothing_found": "strict",
        "memory": "window",
    }  # fmt: skip


def test_what_was_left_alone_is_not_said() -> None:
    asked = request_for("next", ChatChoices(Mode.KNOWLEDGE, MODEL, BASE), session())
    assert asked.model_fields_set == ALWAYS | {"knowledge_base_name", "explain"}
    plain = request_for("next", ChatChoices(Mode.MODEL, MODEL, None), session())
    assert plain.model_fields_set == ALWAYS


def test_every_wish_is_said_in_its_field() -> None:
    wishes = Wishes("brief", 9, 0.3, "refine", "strict", "running_summary", ("d", "e"), 50)
    asked = request_for("next", ChatChoices(Mode.KNOWLEDGE, MODEL, BASE, wishes), session())
    said = asked.model_dump(include=asked.model_fields_set - ALWAYS)
    assert said == {
        "knowledge_base_name": "b", "explain": True, "preset": "brief", "top_k": 9, "temperature": 0.3,
        "strategy": "refine", "when_nothing_found": "strict", "memory": "running_summary",
        "more_knowledge_bases": ["d", "e"],
    }  # fmt: skip
    plain = request_for("next", ChatChoices(Mode.MODEL, MODEL, None, wishes), session())
    assert plain.model_fields_set == ALWAYS | {"preset", "temperature", "memory"}


def test_history_holds_the_last_answered_turns_oldest_first() -> None:
    turns = [Turn(f"q{n}", f"a{n}") for n in range(7)] + [Turn("lost", "", ending=Ending.FAILED)]
    history = history_of(turns)
    assert [item.content for item in history][:2] == ["q2", "a2"]
    assert [item.role for item in history] == ["user", "assistant"] * 5
    assert history[-1].content == "a6"
    assert len(history_of(turns, 6)) == 12


@pytest.mark.parametrize(
    ("shown_turns", "memory", "sent"),
    [(None, "window", 5), (0, "window", 5), (10, "window", 10), (10, "running_summary", 50), (None, "other", 50)],
)
def test_as_much_history_is_sent_as_is_of_use(shown_turns: int | None, memory: str, sent: int) -> None:
    assert turns_for(PresetBody(name="p", history_turns=shown_turns), memory) == sent
    assert turns_for(None, "window") == 5


def test_what_a_base_says_holds_where_a_question_does_not() -> None:
    brief = PresetBody(name="brief", top_k=1)
    options = OPTIONS.model_copy(update={"presets": [brief]})
    strict = BASE.model_copy(update={"answering": BaseAnswering(when_nothing_found="strict", preset="brief")})
    held = options_of(options, strict)
    assert (held.strategy, held.when_nothing_found) == ("auto", "strict")
    assert own_preset(options, strict) == brief
    assert (options_of(options, None), own_preset(options, BASE)) == (options, None)
    gone = BASE.model_copy(update={"answering": BaseAnswering(preset="gone", strategy="refine")})
    assert (own_preset(options, gone), options_of(options, gone).strategy) == (None, "refine")


def test_the_sliders_begin_where_the_preset_or_the_server_says() -> None:
    assert (first_top_k(None, None), first_top_k(None, OPTIONS)) == (3, 7)
    assert first_top_k(PresetBody(name="p", top_k=1), OPTIONS) == 1
    assert first_top_k(PresetBody(name="p", top_k=90), OPTIONS) == 20
    assert first_top_k(PresetBody(name="p"), OPTIONS) == 7
    assert (first_temperature(None), first_temperature(PresetBody(name="p", temperature=0.1))) == (0.7, 0.1)
    assert first_temperature(PresetBody(name="p", temperature=1.8)) == 1.0


def test_a_slider_that_was_moved_wins_over_the_preset_and_one_that_was_not_does_not() -> None:
    assert unless_same(1, 1, 1) is None
    assert unless_same(20, 90, 20) is None  # the preset's own 90 holds
    assert unless_same(4, 1, 1) == 4
    assert unless_same(7, None, 7) == 7
