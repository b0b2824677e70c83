"""A person's journey in a real browser: ask, see that the answer holds, and why; then the same in the search test."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.test_browser import ask, choose, page, settled
from tests.stack import Stack

__all__ = ["page"]
QUESTION = "怎样添加一个真正的大模型？"


def test_an_answer_and_a_search_say_why(page: Page, stack: Stack) -> None:
    page.goto(stack.webui_url)
    ask(page, QUESTION)
    answer = page.get_by_test_id("stChatMessage").nth(1)
    expect(answer).to_contain_text("configs/models.yaml")
    expect(answer).to_contain_text("每句话都见于引用的原文")
    answer.locator("summary", has_text="为什么是这个回答").click()
    for words in (QUESTION, "向量模型不认识问题中的词语", "取最好的 3 条", "重排", "秒答完"):
        expect(answer).to_contain_text(words)

    page.get_by_test_id("stSidebar").get_by_role("link", name="知识库").click()
    page.get_by_role("tab", name="检索测试").click()
    settled(page)
    page.get_by_label("问题或关键词").fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.get_by_text("相似度 100% · 相关性").first).to_be_visible()
    expect(page.locator("summary", has_text="为什么是这些结果")).to_be_visible()


def test_what_the_model_cannot_do_is_a_sentence(page: Page, stack: Stack) -> None:
    page.goto(stack.webui_url)
    settled(page)
    page.get_by_test_id("stSidebar").get_by_text("更多设置").click()
    choose(page, "原文读法", "逐组读")
    ask(page, QUESTION)
    expect(page.get_by_test_id("stAlert")).to_contain_text("extractive")
    expect(page.get_by_test_id("stAlert")).to_contain_text("stuff")
