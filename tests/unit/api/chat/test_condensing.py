"""Follow-ups made to stand alone, by rule and by model."""

from __future__ import annotations

import time

import pytest

from services.api.chat.condensing import (
    ChosenCondenser,
    ModelCondenser,
    RuleCondenser,
    _without_ending,
    is_follow_up,
    join,
)
from services.api.domain.answering import Question, Sampling
from services.foundation.errors import NoWorker
from tests.fakes.chat_model import FakeChatModel
from tests.unit.api.chat.samples import PROMPTS, said

ROE = "2018年第一季度的加权平均净资产收益率是多少？"


async def by_rule(text: str, *history: str) -> str:
    return await RuleCondenser().condense(Question(text, "m", history=said(*history)))


@pytest.mark.parametrize(
    ("earlier", "text", "standalone"),
    [
        (ROE, "那第二季度呢？", "2018年第二季度的加权平均净资产收益率是多少？"),
        (ROE, "第3季度呢", "2018年第3季度的加权平均净资产收益率是多少？"),
        (ROE, "那么，2019年呢？", "2019年第一季度的加权平均净资产收益率是多少？"),
        ("第3章讲了什么？", "第12章呢？", "第12章讲了什么？"),
    ],
)
async def test_a_follow_up_of_the_same_shape_takes_its_place(earlier: str, text: str, standalone: str):
    assert await by_rule(text, earlier, "12.3%") == standalone


@pytest.mark.parametrize(
    ("earlier", "text"),
    [
        ("Which host does the gateway bind?", "and its port?"),
        ("What is the controller?", "What about the worker?"),
        ("张三的年假有几天？", "李四呢？"),
        ("向量库有哪些？", "它们的默认端口分别是多少，怎么修改？"),
        ("What did C++ (2nd ed.) cost?", "and C++ (3rd ed.)?"),
    ],
)
async def test_any_other_follow_up_is_put_after_its_question(earlier: str, text: str):
    assert await by_rule(text, earlier, "…") == f"{earlier} {text}"


@pytest.mark.parametrize(
    "text",
    [
        "知识库的向量存储有哪几种，分别怎么配置？",
        "劳动合同法第十条规定了哪些内容？",
        "What is the default port of the API server?",
        "Android 系统的最新版本号是多少？",
        "那怎样修改端口？",
        "And how do I change a port?",
        ROE,
    ],
)
async def test_a_question_that_stands_alone_is_not_touched(text: str):
    assert not is_follow_up(text)
    assert await by_rule(text, "完全不同的一个问题是什么？", "答") == text


async def test_a_chain_of_follow_ups_is_followed():
    assert await by_rule("第三季度呢？", ROE, "1", "那第二季度呢？", "2") == ROE.replace("第一", "第三")


async def test_the_chain_begins_at_the_last_question_that_stood_alone():
    text = await by_rule("and its port?", ROE, "1", "Which host does the gateway bind by default?", "2")
    assert text == "Which host does the gateway bind by default? and its port?"


async def test_the_first_question_is_never_touched():
    assert await by_rule("那第二季度呢？") == "那第二季度呢？"


async def test_only_what_the_user_said_counts():
    assert await by_rule("那第二季度呢？", "你好，请介绍一下公司的主营业务情况", "第一季度是 1%") == (
        "你好，请介绍一下公司的主营业务情况 那第二季度呢？"
    )


@pytest.mark.parametrize(
    ("earlier", "text", "standalone"),
    [
        ("公司2018年的净资产收益率是多少？", "那每股收益呢？", "公司2018年的每股收益是多少？"),
        ("公司2018年的净资产收益率是多少？", "总资产收益率呢", "公司2018年的总资产收益率是多少？"),
    ],
)
async def test_a_follow_up_takes_the_place_of_what_was_asked_for(earlier: str, text: str, standalone: str):
    assert await by_rule(text, earlier, "12.3%") == standalone


@pytest.mark.parametrize(
    ("text", "bare"),
    [("第二季度呢？", "第二季度"), ("第二季度的呢 ？", "第二季度"), ("我的", "我的"), ("？？", ""), ("他的吗", "他")],
)
def test_what_a_question_ends_with_is_not_its_topic(text: str, bare: str):
    assert _without_ending(text) == bare


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("earlier", "text"),
    [
        ("问", "知识库" + " " * 20_000 + "怎么配置"),
        ("问", "知识库" + "？" * 20_000 + "怎么配置"),
        ("问", "的" * 20_000 + "x"),
        ("1" * 2000, "1一" * 1000 + "z"),
        ("一1" * 2000, "一a1b" * 500 + "z"),
        ("的a" * 10_000, "那a呢"),
        ("a" * 20_000, "那a呢"),
        ("那" * 20_000, "那" * 20_000),
    ],
)
def test_no_question_takes_long(earlier: str, text: str):
    """A question comes from outside: none may keep the event loop busy (these once took hours)."""
    began = time.thread_time()  # its own processor time: the machine may be busy with other things
    is_follow_up(text)
    join(earlier, text)
    assert time.thread_time() - began < 1


@pytest.mark.parametrize("text", ["", "  ", "？", "and", "那", "(((", "\\", "第[一"])
def test_no_text_breaks_the_rule(text: str):
    is_follow_up(text)
    assert join("前面的问题第一章", text).startswith("前面的问题")


def by_model(*answers: str | list[str | Exception]) -> tuple[ModelCondenser, FakeChatModel]:
    model = FakeChatModel(*answers)
    return ModelCondenser(model, PROMPTS), model


async def test_the_model_is_asked_only_with_a_history():
    condenser, model = by_model()
    assert await condenser.condense(Question("那第二季度呢？", "m")) == "那第二季度呢？"
    assert model.requests == []


async def test_the_model_rewrites():
    condenser, model = by_model([" 2018年第二季度", "的收益率是多少？\n"])
    question = Question("那第二季度呢？", "qwen", history=said(ROE, "1%"), sampling=Sampling(1.5, 5))
    assert await condenser.condense(question) == "2018年第二季度的收益率是多少？"
    (request,) = model.requests
    assert request.model == "qwen"
    assert request.sampling == Sampling(0.0, 200)
    (message,) = request.messages
    assert f"user: {ROE}\nassistant: 1%" in message.content
    assert "那第二季度呢？" in message.content
    assert (model.closed, model.broken_off) == (1, 0)


async def test_the_model_sees_the_last_messages_only():
    condenser, model = by_model("x")
    await condenser.condense(Question("q", "m", history=said(*[f"text-{number}-" for number in range(10)])))
    content = model.requests[0].messages[0].content
    assert "text-3-" not in content
    assert "text-4-" in content


async def test_a_model_that_says_nothing_leaves_the_question():
    condenser, _ = by_model(" ")
    assert await condenser.condense(Question("那第二季度呢？", "m", history=said(ROE, "1%"))) == "那第二季度呢？"


async def test_a_failing_model_is_not_passed_over():
    condenser, model = by_model(["x", NoWorker(model="m")])
    with pytest.raises(NoWorker):
        await condenser.condense(Question("q", "m", history=said(ROE, "1%")))
    assert model.closed == 1


@pytest.mark.parametrize(("model_name", "standalone"), [("qwen", "rewritten"), ("extractive", ROE.replace("一", "二"))])
async def test_each_model_gets_what_it_can_do(model_name: str, standalone: str):
    rewriting, _ = by_model("rewritten")
    condenser = ChosenCondenser(rewriting, RuleCondenser(), {"qwen"})
    question = Question("那第二季度呢？", model_name, history=said(ROE, "1%"))
    assert await condenser.condense(question) == standalone
