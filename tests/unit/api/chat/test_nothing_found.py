"""What is answered when nothing was found: by policy, in the question's language, and by whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.chat.answering import Grounded
from services.api.chat.contexts import KnowledgeContext, Reach
from services.api.chat.nothing_found import AnyHit, LikelyHit, Sufficiency
from services.api.chat.speaking import Speaker
from services.api.domain.answering import Approach, ChatEvent, Citations, Finished, Manner, Question, Token
from services.api.domain.knowledge import Hit
from services.foundation.errors import UnknownVariant, WritingNeeded
from tests.fakes.chat_model import FakeChatModel
from tests.unit.api.chat.samples import BASE, ListRetriever, hit, said
from tests.unit.api.chat.strategies.bench import speaker


class AtLeast:
    """A `Sufficiency` with a floor of its own."""

    def __init__(self, floor: float) -> None:
        self._floor = floor
        self.asked: list[str] = []

    def suffices(self, query: str, hits: Sequence[Hit]) -> bool:
        self.asked.append(query)
        return any(each.similarity >= self._floor for each in hits)


async def asked(voice: Speaker, question: Question, *hits: Hit, enough: Sufficiency | None = None) -> list[ChatEvent]:
    context = KnowledgeContext(ListRetriever(*hits), [BASE], Reach(3))
    return [event async for event in Grounded(voice, context, enough).answer(question)]


def question(text: str = "年假有几天？", **manner: Any) -> Question:
    return Question(text, "m", manner=Manner(**manner))


@pytest.mark.parametrize(
    ("text", "language", "begins"),
    [
        ("年假有几天？", "en", "文档中没有找到"),
        ("How many days of leave?", "zh-CN", "The documents hold nothing"),
        ("API 的端口是多少？", "en", "文档中没有找到"),
        ("2024?", "en", "The documents hold nothing"),
        ("2024？", "zh-CN", "文档中没有找到"),
    ],
)
async def test_strict_says_so_in_the_questions_language_and_asks_no_model(text: str, language: str, begins: str):
    model = FakeChatModel()
    cited, token, end = await asked(speaker(model), question(text, when_nothing_found="strict", language=language))
    assert cited == Citations(text, ())
    assert isinstance(token, Token)
    assert token.text.startswith(begins)
    assert end == Finished("stop")
    assert model.requests == []


async def test_cautious_warns_and_then_the_model_answers():
    model = FakeChatModel(["五", "天"])
    history = said("早", "好")
    asking = Question("年假有几天？", "m", history=history, manner=Manner("cautious"))
    _, warning, *answer = await asked(speaker(model), asking)
    assert isinstance(warning, Token)
    assert warning.text.startswith("文档中没有这个问题的答案")
    assert warning.text.endswith("\n\n")
    assert answer == [Token("五"), Token("天"), Finished("stop", 3, 2)]
    (request,) = model.requests
    assert tuple(request.messages[:-1]) == history
    assert "<问题>年假有几天？</问题>" in request.messages[-1].content


async def test_a_model_that_only_quotes_has_nothing_to_add_to_the_warning():
    model = FakeChatModel()
    _, token, _ = await asked(speaker(model, rewrites=False), question(when_nothing_found="cautious"))
    assert isinstance(token, Token)
    assert token.text.startswith("文档中没有找到")
    assert model.requests == []


async def test_free_asks_the_model_with_the_empty_prompt():
    model = FakeChatModel("答")
    assert (await asked(speaker(model), question(when_nothing_found="free")))[1:] == [
        Token("答"),
        Finished("stop", 1, 1),
    ]
    assert "没有找到与问题相关的资料" in model.requests[0].messages[-1].content


@pytest.mark.parametrize(
    ("setting", "manner", "calls"), [("strict", None, 0), ("strict", "free", 1), ("free", None, 1)]
)
async def test_the_setting_holds_where_the_question_says_nothing(setting: str, manner: Any, calls: int):
    model = FakeChatModel("答")
    await asked(speaker(model, when_nothing_found=setting), question(when_nothing_found=manner))
    assert len(model.requests) == calls


async def test_hits_that_do_not_suffice_are_not_cited():
    model, enough = FakeChatModel("答"), AtLeast(0.5)
    events = await asked(speaker(model), question(when_nothing_found="strict"), hit("x", similarity=0.4), enough=enough)
    assert events[0] == Citations("年假有几天？", ())
    assert enough.asked == ["年假有几天？"]
    events = await asked(speaker(model), question(when_nothing_found="strict"), hit("x", similarity=0.6), enough=enough)
    assert events[1:] == [Approach("stuff"), Token("答"), Finished("stop", 1, 1)]


def test_any_hit_suffices_and_none_does_not():
    assert AnyHit().suffices("q", [hit("x", similarity=0.0)])
    assert not AnyHit().suffices("q", [])


@pytest.mark.parametrize("name", ["map_reduce", "map_rerank", "refine"])
def test_a_model_that_only_quotes_is_refused_before_the_answer_begins(name: str):
    context = KnowledgeContext(ListRetriever(), [BASE], Reach(3))
    with pytest.raises(WritingNeeded, match=name):
        Grounded(speaker(FakeChatModel(), rewrites=False), context).answer(question(strategy=name))


def test_an_unknown_strategy_is_refused_and_the_known_ones_named():
    context = KnowledgeContext(ListRetriever(), [BASE], Reach(3))
    with pytest.raises(UnknownVariant, match="auto, map_reduce, map_rerank, refine, stuff"):
        Grounded(speaker(FakeChatModel()), context).answer(question(strategy="magic"))


@pytest.mark.parametrize(
    ("policy", "relevance", "answers"),
    [("strict", 0.29, False), ("strict", 0.3, True), ("free", 0.01, True), ("strict", None, True)],
)
async def test_strict_answers_only_from_what_is_likely_enough(policy: str, relevance: float | None, answers: bool):
    model = FakeChatModel("答")
    voice = speaker(model, when_nothing_found=policy, sufficient_relevance=0.3)
    events = await asked(voice, question(), replace(hit("x"), relevance=relevance))
    assert isinstance(events[0], Citations)
    assert (bool(events[0].citations), len(model.requests)) == (answers, int(answers))


async def test_cautious_says_that_it_leaves_what_is_unlikely():
    model = FakeChatModel("答")
    voice = speaker(model, when_nothing_found="cautious", sufficient_relevance=0.3)
    cited, token, *_ = await asked(voice, question(), replace(hit("x"), relevance=0.1))
    assert cited == Citations("年假有几天？", ())
    assert isinstance(token, Token)
    assert "文档" in token.text
    assert "x" not in model.requests[0].messages[-1].content


@given(st.lists(st.floats(0, 1), max_size=5), st.floats(0, 1))
def test_one_likely_hit_is_enough(relevances: list[float], least: float):
    hits = [replace(hit("y"), relevance=relevance) for relevance in relevances]
    assert LikelyHit(least).suffices("q", hits) is (max(relevances, default=-1.0) >= least)
