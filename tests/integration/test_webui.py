"""The web UI against a scripted API: pages through AppTest, journeys in headless Chromium."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import streamlit
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright
from streamlit.testing.v1 import AppTest

from services.foundation.errors import NoWorker
from tests.integration.webui_api import OWNER, Script, serving, with_samples
from tests.live import free_port

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
XSS = "<img src=x onerror=alert(1)>"
CANARY = f"{XSS} ![a](http://canary.invalid/i.png) [l](http://canary.invalid/) <script>alert(2)</script>"


@pytest.fixture(scope="module")
def api() -> Iterator[Script]:
    with serving(with_samples()) as script:
        yield script


@pytest.fixture(autouse=True)
def fresh(api: Script) -> None:
    """The same server, a new script."""
    address = api.address
    api.__dict__.update(with_samples().__dict__)
    api.address = address


class TestPages:
    """Streamlit's own AppTest: no browser."""

    @pytest.fixture(autouse=True)
    def no_caches(self) -> Iterator[None]:
        streamlit.cache_resource.clear()
        yield
        streamlit.cache_resource.clear()

    def page(self, monkeypatch: pytest.MonkeyPatch, address: str, **query: str) -> AppTest:
        monkeypatch.setenv("CHATCHAT_SERVER__API__PORT", address.rsplit(":", 1)[1])
        app = AppTest.from_file(str(ROOT / "webui" / "app.py"), default_timeout=15)
        for name, value in query.items():
            app.query_params[name] = value
        return app.run()

    def test_a_question_is_answered_and_kept(self, monkeypatch: pytest.MonkeyPatch, api: Script) -> None:
        app = self.page(monkeypatch, api.address, u=OWNER, lang="en")
        assert app.selectbox(key="chat-base").value == "samples"
        app.chat_input[0].set_value("什么\n是 X？").run()
        assert not app.error
        assert app.chat_message[1].markdown[0].value == "你好，世界。"
        labels = [expander.label for expander in app.main.expander]
        assert labels == [r"\[1\] 手册\.pdf · page 12", r"Why this answer\?"]
        assert app.query_params["c"] == "c0000000000000000000000000000001"
        assert next(iter(api.conversations.values()))["title"] == "什么 是 X？"
        app.chat_input[0].set_value("再问").run()
        assert [item["content"] for item in api.asked[-1]["history"]] == ["什么\n是 X？", "你好，世界。"]

    def test_the_built_in_model_is_named_as_such(self, monkeypatch: pytest.MonkeyPatch, api: Script) -> None:
        assert not [text for text in self.page(monkeypatch, api.address).caption if "内置" in text.value]
        api.engine = "extractive"
        assert [text for text in self.page(monkeypatch, api.address).caption if "内置摘录模型" in text.value]

    def test_a_failed_answer_is_a_sentence(self, monkeypatch: pytest.MonkeyPatch, api: Script) -> None:
        app = self.page(monkeypatch, api.address, u=OWNER)
        api.failure = NoWorker(model="qwen3")
        app.chat_input[0].set_value("q").run()
        assert "目前没有工作进程提供模型 qwen3" in app.error[0].value
        assert app.chat_message[1].markdown[0].value == "你好，世界。"

    def test_an_unknown_conversation_is_named_and_left(self, monkeypatch: pytest.MonkeyPatch, api: Script) -> None:
        app = self.page(monkeypatch, api.address, u=OWNER, c="gone")
        assert "gone" in app.error[0].value
        assert "c" not in app.query_params
        assert not app.run().error

    def test_without_a_base_there_is_a_hint(self, monkeypatch: pytest.MonkeyPatch, api: Script) -> None:
        api.bases.clear()
        app = self.page(monkeypatch, api.address)
        assert "init" in app.info[0].value
        assert app.chat_input[0].disabled

    def test_bad_settings_are_a_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        app = self.page(monkeypatch, "http://127.0.0.1:nowhere")
        assert r"server\.api\.port" in app.error[0].value
        assert not app.exception

    def test_an_api_that_is_not_there_is_a_sentence_with_a_remedy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        port = free_port()
        app = self.page(monkeypatch, f"http://127.0.0.1:{port}", lang="en")
        assert len(app.error) == 1
        assert not app.exception
        for part in (str(port), r"logs\/api\.log", r"startup\.py"):
            assert part in app.error[0].value


@pytest.fixture(scope="module")
def ui(api: Script) -> Iterator[str]:
    """The web UI as a process, as startup.py starts it."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "webui/app.py"]
    command += ["--server.address", "127.0.0.1", "--server.port", str(port)]
    environment = {**os.environ, "CHATCHAT_SERVER__API__PORT": api.address.rsplit(":", 1)[1]}  # noqa: TID251
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_for(f"{url}/_stcore/health")
            yield url
        finally:
            process.terminate()


def _wait_for(url: str) -> None:
    for _ in range(200):
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.ConnectError:
            threading.Event().wait(0.1)
    pytest.fail(f"{url} does not answer")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is absent")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_ARGS)
        yield launched
        launched.close()


class Watch:
    """What the browser was made to do: dialogs, and requests to other hosts than the web UI."""

    def __init__(self, context: BrowserContext, ui: str) -> None:
        self.dialogs: list[str] = []
        self.foreign: list[str] = []
        self._ui = ui
        context.on("request", self._request)
        context.on("dialog", self._dialog)

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self._ui, "data:", "blob:")):
            self.foreign.append(request.url)

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()


@pytest.fixture
def opened(browser: Browser, ui: str) -> Iterator[Page]:
    """A page of a new reader; fails if anything made the browser show a dialog or ask another host."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    watch = Watch(context, ui)
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.goto(ui)
    yield page
    context.close()
    assert watch.dialogs == []
    assert watch.foreign == []


def ask(page: Page, question: str) -> None:
    box = page.get_by_test_id("stChatInputTextArea")
    expect(box).to_be_enabled(timeout=15_000)
    box.fill(question)
    box.press("Enter")


def message(page: Page, position: int) -> Locator:
    return page.get_by_test_id("stChatMessage").nth(position)


def citation(page: Page, label: str) -> Locator:
    return message(page, 1).locator("summary", has_text=label)


class TestBrowser:
    def test_chat_reload_new_and_open(self, opened: Page, api: Script) -> None:
        api.excerpt, api.heading = "三步部署。", ["第三章"]
        ask(opened, "怎样部署？")
        citation(opened, "[1] 手册.pdf · 第 12 页 · 第三章").click()
        expect(message(opened, 1)).to_contain_text("三步部署。")
        link = message(opened, 1).get_by_role("link", name="打开文件第 12 页")
        assert str(link.get_attribute("href")).startswith(f"{api.address}/knowledge_base/download_doc?")
        assert str(link.get_attribute("href")).endswith("#page=12")

        opened.reload()
        expect(message(opened, 0)).to_contain_text("怎样部署？")
        expect(message(opened, 1)).to_contain_text("你好，世界。")
        expect(citation(opened, "第 12 页")).to_be_visible()

        opened.get_by_role("button", name="新对话").click()
        expect(opened.get_by_text("向你的文档提问")).to_be_visible()
        opened.get_by_text("仅大模型").click()
        ask(opened, "第二个问题")
        expect(message(opened, 1)).to_contain_text("你好，世界。")
        assert "knowledge_base_name" not in api.asked[-1]
        opened.get_by_test_id("stSidebar").get_by_role("button", name="怎样部署？").click()
        expect(message(opened, 0)).to_contain_text("怎样部署？")

        opened.get_by_test_id("stSidebar").locator("[class*='st-key-delete-c'] button:visible").last.click()
        opened.get_by_role("dialog").get_by_role("button", name="删除对话").click()
        expect(opened.get_by_role("dialog")).to_have_count(0)
        assert len(api.conversations) == 1

        opened.get_by_text("English").click()
        expect(opened.get_by_role("button", name="New conversation")).to_be_visible()
        expect(message(opened, 0)).to_contain_text("怎样部署？")

    def test_stop_and_leave_are_seen_by_the_api(self, opened: Page, api: Script) -> None:
        api.stall = True
        ask(opened, "长问题")
        expect(message(opened, 1)).to_contain_text("你好，世界。")
        opened.get_by_role("button", name="停止回答").click()
        assert api.left.wait(2)
        expect(message(opened, 1)).to_contain_text("回答没有完成")
        api.stall = False
        ask(opened, "下一个")
        expect(message(opened, 3)).to_contain_text("你好，世界。")
        api.left.clear()
        api.stall, api.pieces = True, []
        ask(opened, "无声")
        expect(message(opened, 5)).to_contain_text("正在查找")
        opened.close()
        assert api.left.wait(3)

    def test_upload_and_delete(self, opened: Page, api: Script) -> None:
        opened.get_by_test_id("stSidebar").get_by_role("link", name="知识库").click()
        files = [
            {"name": "采购合同（终稿）.md", "mimeType": "text/markdown", "buffer": "正文".encode()},
            {"name": "bad.txt", "mimeType": "text/plain", "buffer": b"broken"},
        ]
        opened.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
        opened.locator("input[type=file]").set_input_files(files)  # type: ignore[arg-type]
        opened.get_by_role("button", name="上传并建立索引").click()
        expect(opened.get_by_text("1 个文件已可检索。")).to_be_visible()
        expect(opened.get_by_test_id("stTable")).to_contain_text("文件 bad.txt 无法读取")
        assert [asked["upload"] for asked in api.asked] == [["采购合同（终稿）.md"], ["bad.txt"]]
        assert set(api.bases["samples"]["files"]) == {"手册.pdf", "采购合同（终稿）.md", "bad.txt"}

        expect(opened.get_by_text("3 个文件 ·")).to_be_visible()
        opened.get_by_test_id("stDataFrame").first.scroll_into_view_if_needed()
        table = opened.get_by_test_id("stDataFrame").first.bounding_box()
        assert table is not None
        opened.mouse.click(table["x"] + 16, table["y"] + 52)
        expect(opened.get_by_text("已选 1 个文件")).to_be_visible()
        opened.get_by_role("button", name="删除文件").click()
        opened.get_by_role("button", name="确定删除").click()
        expect(opened.get_by_text("2 个文件 ·")).to_be_visible()
        expect(opened.get_by_text("勾选文件后")).to_be_visible()
        assert set(api.bases["samples"]["files"]) == {"采购合同（终稿）.md", "bad.txt"}

    def test_create_search_and_delete_a_base(self, opened: Page, api: Script) -> None:
        opened.get_by_test_id("stSidebar").get_by_role("link", name="知识库").click()
        opened.get_by_role("button", name="新建知识库").click()
        dialog = opened.get_by_role("dialog")
        dialog.get_by_label("名称").fill("a/b")
        dialog.get_by_role("button", name="新建", exact=True).click()
        expect(dialog.get_by_test_id("stAlert")).to_contain_text("请换一个名称")
        dialog.get_by_label("名称").fill("新库")
        dialog.get_by_role("button", name="新建", exact=True).click()
        expect(opened.get_by_text("这个知识库还没有文件")).to_be_visible()
        opened.get_by_role("tab", name="检索测试").click()
        opened.get_by_label("问题或关键词").fill("部署")
        opened.keyboard.press("Enter")
        expect(opened.get_by_text("相似度 80%")).to_be_visible()
        opened.get_by_role("button", name="删除", exact=True).click()
        opened.get_by_role("button", name="确定删除").click()
        expect(opened.get_by_role("combobox", name="知识库")).to_have_value("samples")
        assert set(api.bases) == {"samples"}

    def test_an_api_failure_is_a_sentence(self, opened: Page) -> None:
        ask(opened, "nobody")
        expect(opened.get_by_test_id("stAlert")).to_contain_text("目前没有工作进程提供模型 qwen3")
        assert "Traceback" not in opened.content()

    def test_what_others_wrote_stays_text(self, opened: Page, api: Script) -> None:
        api.bases.clear()
        api.add_base(XSS, CANARY, (f"{XSS}.pdf",))
        api.bases[XSS]["files"][f"{XSS}.pdf"]["warnings"] = [CANARY]
        api.pieces = ["<scr", "ipt>alert(3)</script>\n\n![a](http://can", "ary.invalid/p.png) ", CANARY]
        api.pieces += ["\n\n```mermaid\ngraph TD; A-->B\n```\n\n[r]\n\n[r]: http://canary.invalid/r"]
        api.excerpt, api.heading = CANARY, [CANARY]
        opened.reload()
        ask(opened, CANARY)
        opened.locator("summary", has_text="[1]").click()
        expect(message(opened, 1)).to_contain_text("alert(3)")
        expect(message(opened, 1)).to_contain_text("http://canary.invalid/p.png")
        foreign_links = opened.locator("a[href*='canary'], img[src*='canary'], img[src='x'], svg[id^='mermaid']")
        assert foreign_links.count() == 0
        opened.get_by_test_id("stSidebar").get_by_role("link", name="知识库").click()
        expect(opened.get_by_text("有提示的文件（1 个）")).to_be_visible()
        opened.get_by_text("有提示的文件（1 个）").click()
        remarks = opened.get_by_test_id("stExpander").filter(has_text="有提示的文件")
        expect(remarks.get_by_test_id("stExpanderDetails")).to_contain_text("canary")
        assert foreign_links.count() == 0
