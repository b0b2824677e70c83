"""How answers are asked for and explained on the pages, through AppTest against a scripted API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit
from streamlit.testing.v1 import AppTest

from tests.integration.webui_api import OWNER, Script, serving, with_samples

ROOT = Path(__file__).resolve().parents[2]
ANSWER = "三步部署。[1]一小时内完成。[1]"
SUPPORT = [
    {"text": "三步部署。[1]", "start": 0, "cited": [1], "share": 1.0, "support": "supported"},
    {"text": "一小时内完成。[1]", "start": 8, "cited": [1], "share": 0.5, "support": "partly"},
]
HALF = ":orange[◐]"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    script = with_samples()
    script.add_base("合同")
    script.pieces, script.support = [ANSWER], SUPPORT
    with serving(script):
        monkeypatch.setenv("CHATCHAT_SERVER__API__PORT", script.address.rsplit(":", 1)[1])
        streamlit.cache_resource.clear()
        yield script
        streamlit.cache_resource.clear()


def page(lang: str = "zh-CN") -> AppTest:
    app = AppTest.from_file(str(ROOT / "webui" / "app.py"), default_timeout=15)
    app.query_params["u"], app.query_params["lang"] = OWNER, lang
    return app.run()


def asked_by(app: AppTest, api: Script) -> dict[str, Any]:
    app.chat_input[0].set_value("怎样部署？").run()
    assert not app.exception
    return api.asked[-1]


class TestSettings:
    def test_left_alone_nothing_but_what_is_shown_is_sent(self, api: Script) -> None:
        app = page()
        assert app.selectbox(key="strategy").options == ["自动（默认）", "分组读，再汇总", "一次读完"]
        assert app.selectbox(key="preset").options == ["不用预设", "知识库问答（求准）", "of our own"]
        asked = asked_by(app, api)
        assert (asked["top_k"], asked["temperature"], asked["explain"]) == (4, 0.7, True)
        choices = {"preset", "strategy", "when_nothing_found", "memory", "more_knowledge_bases"}
        assert choices & set(asked) == set()

    def test_what_is_chosen_is_sent(self, api: Script) -> None:
        app = page()
        app.multiselect(key="chat-more-bases").set_value(["合同"]).run()
        assert [text for text in app.sidebar.caption if "同时检索：合同" in text.value]
        app.selectbox(key="strategy").set_value("stuff").run()
        app.selectbox(key="policy").set_value("strict").run()
        app.selectbox(key="memory").set_value("running_summary").run()
        asked = asked_by(app, api)
        assert asked["more_knowledge_bases"] == ["合同"]
        assert (asked["strategy"], asked["when_nothing_found"]) == ("stuff", "strict")
        assert asked["memory"] == "running_summary"

    def test_the_sliders_follow_a_preset_and_may_be_moved_from_there(self, api: Script) -> None:
        app = page()
        app.selectbox(key="preset").set_value("knowledge_base_chat").run()
        assert (app.slider(key="top_k").value, app.slider(key="temperature").value) == (1, 0.1)
        assert [text for text in app.sidebar.caption if "大模型不看前文 · 重复惩罚 1" in text.value]
        asked = asked_by(app, api)
        assert asked["preset"] == "knowledge_base_chat"
        assert {"top_k", "temperature"} & set(asked) == set()
        app.slider(key="top_k").set_value(6).run()
        asked = asked_by(app, api)
        assert (asked["preset"], asked["top_k"], "temperature" in asked) == ("knowledge_base_chat", 6, False)
        app.selectbox(key="preset").set_value("").run()
        assert (app.slider(key="top_k").value, app.slider(key="temperature").value) == (4, 0.7)

    def test_what_a_base_says_is_shown_as_what_holds_and_not_sent(self, api: Script) -> None:
        api.bases["合同"]["answering"] = {"when_nothing_found": "strict", "preset": "knowledge_base_chat"}
        app = page()
        app.selectbox(key="policy").set_value("cautious").run()
        app.selectbox(key="chat-base").set_value("合同").run()
        assert app.selectbox(key="policy").options[0] == "只说没有找到（默认）"
        assert app.selectbox(key="preset").options == ["知识库问答（求准）（默认）", "of our own"]
        assert (app.slider(key="top_k").value, app.slider(key="temperature").value) == (1, 0.1)
        asked = asked_by(app, api)
        assert {"when_nothing_found", "preset", "top_k", "temperature"} & set(asked) == set()
        app.selectbox(key="preset").set_value("of our own").run()
        assert asked_by(app, api)["preset"] == "of our own"
        app.selectbox(key="chat-base").set_value("samples").run()
        assert (app.selectbox(key="policy").value, app.selectbox(key="preset").value) == ("free", "")

    def test_a_base_that_is_gone_is_no_longer_chosen(self, api: Script) -> None:
        app = page()
        app.multiselect(key="chat-more-bases").set_value(["合同"]).run()
        del api.bases["合同"]
        app.run()
        assert not app.exception
        assert "more_knowledge_bases" not in asked_by(app, api)

    def test_the_model_alone_is_asked_for_no_passages(self, api: Script) -> None:
        app = page()
        app.radio(key="mode").set_value("llm_chat").run()
        assert {box.key for box in app.selectbox} == {"model", "preset", "memory"}
        assert set(asked_by(app, api)) == {
            "query", "history", "model_name", "conversation_id", "temperature", "stream",
        }  # fmt: skip

    def test_what_the_model_cannot_do_is_a_sentence(self, api: Script) -> None:
        app = page()
        app.selectbox(key="strategy").set_value("map_reduce").run()
        asked_by(app, api)
        assert "extractive" in app.error[0].value
        assert "stuff" in app.error[0].value


class TestWhy:
    def test_a_sentence_that_is_partly_supported_is_marked_and_the_mark_explained(self, api: Script) -> None:
        app = page()
        asked_by(app, api)
        answer = app.chat_message[1]
        assert answer.markdown[0].value == f"三步部署。\\[1\\]一小时内完成。\\[1\\]\u00a0{HALF}"
        assert answer.caption[0].value == f"{HALF}\u00a0只有一部分见于引用的原文"

    def test_an_answer_that_is_all_supported_says_so(self, api: Script) -> None:
        api.support = [SUPPORT[0]]
        app = page("en")
        asked_by(app, api)
        assert app.chat_message[1].markdown[0].value == "三步部署。\\[1\\]一小时内完成。\\[1\\]"
        assert "Every sentence was found" in app.chat_message[1].caption[0].value

    def test_every_stage_is_told(self, api: Script) -> None:
        api.heading = ["第三章", "部署"]
        api.wordings = ["怎样部署？ 一键部署"]
        api.answering = {"strategy": "map_reduce", "groups": [[1]], "left_out": [1]}
        app = page()
        asked_by(app, api)
        (why,) = [found for found in app.chat_message[1].expander if found.label == "为什么是这个回答？"]
        assert [text.value for text in why.text] == ["怎样部署？", "怎样部署？ 一键部署"]
        lines = "\n".join(line.value for line in why.markdown)
        for words in ("关键词：找到 2 条", "向量模型不认识问题中的词语", "读法：分组读，再汇总", "重排 1", "开始回答"):
            assert words in lines
        assert "一小时内完成。\\[1\\]（50\\% 的用词见于 \\[1\\]）" in lines
        table = why.dataframe[0].value
        assert list(table["结果"]) == ["放不下 [1]", "排名靠后"]
        assert list(table["关键词"]) == ["1 · 83%", "2 · 40%"]
        assert table["原文"][0] == "手册.pdf · 第 12 页 · 部署"

    def test_an_answer_on_record_has_its_citations_alone(self, api: Script) -> None:
        app = page()
        asked_by(app, api)
        again = AppTest.from_file(str(ROOT / "webui" / "app.py"), default_timeout=15)
        again.query_params.update(app.query_params)
        again.run()
        assert [found.label for found in again.chat_message[1].expander] == [r"\[1\] 手册\.pdf · 第 12 页"]


class TestSearch:
    def test_a_search_says_how_near_and_why(self, api: Script) -> None:
        app = self.knowledge()
        app.multiselect(key="search-more-bases").set_value(["合同"])
        app.text_input(key="search-query").set_value("部署")
        app.button(key="search-start").click().run()
        assert not app.exception
        assert api.asked[-1] == {
            "query": "部署", "knowledge_base_name": "samples", "top_k": 5, "more_knowledge_bases": ["合同"],
        }  # fmt: skip
        assert [text for text in app.caption if text.value == r"相似度 80\% · 相关性 71\%"]
        (why,) = [found for found in app.expander if found.label == "为什么是这些结果？"]
        assert list(why.dataframe[0].value["结果"]) == ["结果", "排名靠后"]
        assert list(why.dataframe[0].value["相关性"]) == ["71%", "20%"]

    def knowledge(self) -> AppTest:
        def draw() -> None:
            import streamlit as st

            from services.foundation.settings.tree import Knowledge
            from webui.app import _client
            from webui.i18n import texts_in
            from webui.page import Limits, Page
            from webui.views.knowledge import show_knowledge

            texts = texts_in("zh-CN")
            show_knowledge(Page(texts, _client("zh-CN"), st.sidebar, "http://api", "samples", Limits.of(Knowledge())))

        return AppTest.from_function(draw, default_timeout=15).run()
