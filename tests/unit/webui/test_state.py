"""The reducers of the web UI."""

from __future__ import annotations

import pytest

from services.wire.chatchat import ServedModelBody, TurnBody
from webui.state import (
    Address,
    Ending,
    Mode,
    Turn,
    chat_models,
    reconcile,
    similarity_of,
    title_of,
    turn_of,
)

OWNER = "o" * 32
LANGUAGES = ["zh-CN", "en"]


def test_a_new_reader_gets_an_owner_that_cannot_be_guessed() -> None:
    first, second = reconcile({}, None, LANGUAGES), reconcile({}, None, LANGUAGES)
    assert first.owner != second.owner
    assert len(first.owner) >= 22  # 128 bits in base64
    assert first.language == "zh-CN"
    assert first.conversation == ""


def test_a_reload_finds_owner_conversation_and_language_in_the_url() -> None:
    address = reconcile({"u": OWNER, "c": "abc", "lang": "en"}, None, LANGUAGES)
    assert address == Address(OWNER, "en", "abc")
    assert reconcile(address.query(), None, LANGUAGES) == address


def test_a_bare_url_keeps_what_the_tab_knows() -> None:
    known = Address(OWNER, "en", "abc")
    assert reconcile({}, known, LANGUAGES) == known


def test_the_url_wins_over_the_tab() -> None:
    known = Address(OWNER, "en", "abc")
    assert reconcile({"u": OWNER}, known, LANGUAGES) == Address(OWNER, "en", "")


@pytest.mark.parametrize("owner", ["", "short", "x" * 65, "../" * 10, "<script>alert(1)</script>"])
def test_an_owner_that_is_none_is_not_taken_from_the_url(owner: str) -> None:
    assert reconcile({"u": owner, "c": "abc"}, None, LANGUAGES).owner != owner


def test_a_conversation_that_is_none_is_not_taken_from_the_url() -> None:
    assert reconcile({"u": OWNER, "c": "../models"}, None, LANGUAGES).conversation == ""


def test_an_unknown_language_is_not_taken_from_the_url() -> None:
    assert reconcile({"lang": "../../etc"}, None, LANGUAGES).language == "zh-CN"


def test_a_title_is_one_line_of_thirty_characters() -> None:
    assert title_of("一\n二  三") == "一 二 三"
    assert title_of("字" * 50) == "字" * 30


def test_a_stored_turn_without_an_answer_was_broken_off() -> None:
    body = TurnBody(id="1", chat_type="knowledge_base_chat", question="q", answer="", citations=[], created_at="")
    assert turn_of(body).ending is Ending.STOPPED
    assert turn_of(body.model_copy(update={"answer": "a"})) == Turn("q", "a", mode=Mode.KNOWLEDGE)


def test_running_models_come_first_and_embedding_models_not_at_all() -> None:
    def model(name: str, task: str = "chat", *, running: bool = True, is_default: bool = False) -> ServedModelBody:
        return ServedModelBody(name=name, task=task, engine="e", running=running, is_default=is_default)

    served = [
        model("a", running=False, is_default=True),
        model("b"),
        model("e", "embedding"),
        model("c", is_default=True),
    ]
    assert [found.name for found in chat_models(served)] == ["c", "b", "a"]


@pytest.mark.parametrize(("distance", "similarity"), [(0.0, 1.0), (0.4, 0.8), (2.0, 0.0), (3.0, 0.0)])
def test_similarity_of_a_distance(distance: float, similarity: float) -> None:
    assert similarity_of(distance) == pytest.approx(similarity)
