"""A person's journey in a real browser: make a base, drop a PDF, ask, open the citation, reload, leave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import SLOW
from tests.e2e.test_resilience import STOPPED_SECONDS, queue_length, wait_until
from tests.stack import ROOT, Stack

ARTIFACTS = ROOT / "tests" / "artifacts"
BASE = "浏览器里的季报"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    ARTIFACTS.mkdir(exist_ok=True)
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="zh-CN")
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    yield opened
    context.close()


def settled(page: Page) -> None:
    """Until Streamlit has drawn the page: what is typed before belongs to widgets that are replaced."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")


def choose(page: Page, label: str, value: str) -> None:
    """Pick a value in one of the sidebar's lists."""
    settled(page)
    box = page.get_by_test_id("stSidebar").get_by_role("combobox", name=label)
    box.click()
    box.fill(value)
    page.get_by_role("option", name=value).first.click()


def ask(page: Page, question: str) -> None:
    settled(page)
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill(question)
    box.press("Enter")


def test_from_nothing_to_a_cited_answer(page: Page, stack: Stack, reports: dict[str, Path]) -> None:
    page.goto(stack.webui_url)
    page.get_by_test_id("stSidebar").get_by_role("link", name="知识库").click()
    page.get_by_role("button", name="新建知识库").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("名称").fill(BASE)
    dialog.get_by_role("button", name="新建", exact=True).click()
    expect(page.get_by_text("这个知识库还没有文件")).to_be_visible()
    settled(page)
    page.locator("input[type=file]").set_input_files(reports["季度报告.pdf"])
    page.get_by_role("button", name="上传并建立索引").click()
    expect(page.get_by_text("1 个文件已可检索。")).to_be_visible()
    page.screenshot(path=ARTIFACTS / "knowledge.png")

    page.get_by_test_id("stSidebar").get_by_role("link", name="对话").click()
    choose(page, "知识库", BASE)
    ask(page, "2021年第三季度的加权平均净资产收益率是多少？")
    answer = page.get_by_test_id("stChatMessage").nth(1)
    expect(answer).to_contain_text("2.37%")
    answer.locator("summary", has_text="[1] 季度报告.pdf").click()
    link = answer.get_by_role("link", name="打开文件第 2 页")
    expect(link).to_be_visible()
    address = link.get_attribute("href")
    assert address is not None
    assert address.endswith("#page=2")
    page.screenshot(path=ARTIFACTS / "answer.png")

    page.reload()
    answer = page.get_by_test_id("stChatMessage").nth(1)
    expect(answer).to_contain_text("2.37%")
    expect(answer.locator("summary", has_text="[1] 季度报告.pdf")).to_be_visible()


def test_a_bad_file_is_a_sentence_on_the_page(page: Page, stack: Stack, tmp_path: Path) -> None:
    empty = tmp_path / "空文件.txt"
    empty.write_bytes(b"")
    page.goto(f"{stack.webui_url}/knowledge")
    expect(page.get_by_role("tab", name="文件")).to_be_visible()
    settled(page)
    page.locator("input[type=file]").set_input_files(empty)
    page.get_by_role("button", name="上传并建立索引").click()
    expect(page.get_by_text("空文件.txt 中没有文字")).to_be_visible()


def test_a_closed_tab_stops_the_generation(page: Page, stack: Stack) -> None:
    page.goto(stack.webui_url)
    page.get_by_text("仅大模型").click()
    choose(page, "模型", SLOW)
    ask(page, "慢慢说 " * 200)
    wait_until(lambda: queue_length(stack, SLOW) == 1, 20)
    page.close()
    wait_until(lambda: queue_length(stack, SLOW) == 0, STOPPED_SECONDS)
