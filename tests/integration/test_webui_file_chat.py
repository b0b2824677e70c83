"""A file chat on the chat page, through AppTest against a scripted API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit
from streamlit.testing.v1 import AppTest

from services.clients.chatchat import ChatchatClient
from tests.integration.webui_api import OWNER, Script, serving, with_samples
from webui.components.temporary_files import discard
from webui.file_sets import FileSet
from webui.state import Session

ROOT = Path(__file__).resolve().parents[2]
GOOD = ("合同.txt", "正文".encode(), "text/plain")
BROKEN = ("坏.pdf", b"broken", "application/pdf")
REFUSED = ("空.md", b"broken refused", "text/markdown")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    with serving(with_samples()) as script:
        monkeypatch.setenv("CHATCHAT_SERVER__API__PORT", script.address.rsplit(":", 1)[1])
        streamlit.cache_resource.clear()
        yield script
        streamlit.cache_resource.clear()


def page(lang: str = "zh-CN") -> AppTest:
    app = AppTest.from_file(str(ROOT / "webui" / "app.py"), default_timeout=15)
    app.query_params["u"], app.query_params["lang"] = OWNER, lang
    return app.run().radio(key="mode").set_value("file_chat").run()


def dropped(app: AppTest, *files: tuple[str, bytes, str]) -> AppTest:
    app.file_uploader[0].set_value(list(files)).run()
    assert not app.exception
    return app


def asked(app: AppTest, question: str) -> AppTest:
    app.chat_input[0].set_value(question).run()
    assert not app.exception
    return app


def sidebar(app: AppTest) -> str:
    return "\n".join(text.value for text in app.sidebar.caption)


def warned(app: AppTest) -> str:
    return "\n".join(text.value for text in app.main.warning)


def test_without_files_nothing_can_be_asked_and_the_page_says_what_to_do(api: Script) -> None:
    app = page()
    assert app.chat_input[0].disabled
    assert [text for text in app.markdown if "侧栏放入" in text.value]
    assert "最后一次使用后 2 小时删除" in sidebar(app)
    assert {box.key for box in app.selectbox} == {"model", "preset", "strategy", "policy", "memory"}
    assert ".pdf" in {f".{kind.lstrip('.')}" for kind in app.file_uploader[0].allowed_type}


def test_files_are_asked_about_with_citations_that_have_no_link(api: Script) -> None:
    app = dropped(page(), GOOD)
    assert list(api.temporary) == ["t1"]
    assert not app.file_uploader[0].value
    assert "可检索" in sidebar(app)
    asked(app, "几年？")
    assert api.asked[-1]["knowledge_id"] == "t1"
    assert api.asked[-1]["explain"] is True
    answer = app.chat_message[1]
    assert [found.label for found in answer.expander] == [r"\[1\] 合同\.txt · 第 12 页", "为什么是这个回答？"]
    assert not answer.get("link_button")
    asked(app, "再问")
    assert api.asked[-1]["knowledge_id"] == "t1"
    assert len(api.asked[-1]["history"]) == 2


def test_what_failed_is_named_with_its_reason_and_more_files_join_the_set(api: Script) -> None:
    app = dropped(page(), BROKEN, REFUSED)
    assert app.chat_input[0].disabled
    shown = sidebar(app)
    for name in ("坏", "空"):
        assert f"文件 {name}" in shown
    assert shown.count("无法读取") == 2
    dropped(app, GOOD)
    assert api.asked[-1] == {"upload": ["合同.txt"], "prev_id": "t1"}
    assert set(api.temporary["t1"]) == {"坏.pdf", "合同.txt"}
    assert not app.chat_input[0].disabled


def test_removed_files_are_gone_at_once(api: Script) -> None:
    app = dropped(page(), GOOD)
    app.button(key="remove-files").click().run()
    assert api.temporary == {}
    assert app.chat_input[0].disabled
    assert "合同" not in sidebar(app)


def test_an_expired_set_says_so_and_the_next_upload_begins_another(api: Script) -> None:
    app = dropped(page("en"), GOOD)
    api.temporary.clear()
    app.run()
    assert "nobody used them for 2 h" in warned(app)
    assert app.chat_input[0].disabled
    dropped(app, GOOD)
    assert api.asked[-1]["prev_id"] is None
    assert warned(app) == ""


def test_a_question_to_an_expired_set_is_not_asked(api: Script) -> None:
    app = asked(dropped(page(), GOOD), "几年？")
    before = len(api.asked)
    api.temporary.clear()
    asked(app, "再问")
    assert "在侧栏重新放入" in warned(app)
    assert len(api.asked) == before


def test_a_new_conversation_begins_a_new_set_and_the_old_one_keeps_its_own(api: Script) -> None:
    app = asked(dropped(page(), GOOD), "几年？")
    old = app.query_params["c"]
    app.button(key="new").click().run()
    assert app.chat_input[0].disabled
    dropped(app, GOOD)
    assert list(api.temporary) == ["t1", "t2"]
    app.button(key="new").click().run()
    assert list(api.temporary) == ["t1"]  # no question was asked of the other
    app.button(key=f"open-{old}").click().run()
    asked(app, "再问")
    assert api.asked[-1]["knowledge_id"] == "t1"


def test_discarded_files_are_deleted_and_those_of_others_are_not(api: Script) -> None:
    api.temporary.update({"t1": {}, "t2": {}})
    session = Session(file_sets={"c1": FileSet("t1"), "c2": FileSet("gone"), "c3": FileSet("t2")})
    client = ChatchatClient(api.address, timeout_seconds=5)
    for conversation in ("c1", "c2", "without"):
        discard(session, conversation, client)
    client.close()
    assert session.file_sets == {"c3": FileSet("t2")}
    assert list(api.temporary) == ["t2"]


def test_an_answer_without_passages_says_so_of_files(api: Script) -> None:
    app = dropped(page(), GOOD)
    ident = next(iter(api.temporary))
    asked(app, "几年？")
    api.conversations[app.query_params["c"]]["turns"][0]["citations"] = []
    again = AppTest.from_file(str(ROOT / "webui" / "app.py"), default_timeout=15)
    again.query_params.update(app.query_params)
    again.run()
    assert [text for text in again.chat_message[1].caption if "文件中没有找到" in text.value]
    assert ident in api.temporary
