"""The knowledge page through AppTest against a scripted API: how a base is answered, the search test, summaries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import streamlit
from streamlit.testing.v1 import AppTest

from services.foundation.errors import NoWorker
from tests.integration.webui_api import Script, serving, with_samples


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    with serving(with_samples()) as script:
        monkeypatch.setenv("CHATCHAT_SERVER__API__PORT", script.address.rsplit(":", 1)[1])
        streamlit.cache_resource.clear()
        yield script
        streamlit.cache_resource.clear()


def page() -> AppTest:
    def draw() -> None:
        import streamlit as st

        from services.foundation.settings.tree import Knowledge
        from webui.app import _client
        from webui.i18n import texts_in
        from webui.page import Limits, Page
        from webui.views.knowledge import show_knowledge

        texts = texts_in("zh-CN")
        show_knowledge(Page(texts, _client("zh-CN"), st.sidebar, "http://api", "samples", Limits.of(Knowledge())))

    app = AppTest.from_function(draw, default_timeout=15).run()
    assert not app.exception
    return app


class TestAnswering:
    def test_a_base_that_says_nothing_is_answered_as_the_settings_say(self, api: Script) -> None:
        app = page()
        for kind in ("policy", "strategy", "preset"):
            assert app.selectbox(key=f"answering-samples-{kind}-None").options[0] == "按服务的设置"
            assert app.selectbox(key=f"answering-samples-{kind}-None").value == ""
        assert app.number_input(key="answering-samples-threshold-None").value is None

    def test_what_is_chosen_is_saved_and_shown(self, api: Script) -> None:
        app = page()
        app.selectbox(key="answering-samples-policy-None").set_value("strict")
        app.number_input(key="answering-samples-threshold-None").set_value(0.35)
        app.selectbox(key="answering-samples-preset-None").set_value("of our own")
        app.button(key="answering-save").click().run()
        assert api.asked[-1] == {
            "knowledge_base_name": "samples",
            "answering": {"when_nothing_found": "strict", "sufficient_relevance": 0.35, "strategy": None,
                          "preset": "of our own"},
        }  # fmt: skip
        assert [said for said in app.success if said.value == "已保存。"]
        app.run()
        assert app.selectbox(key="answering-samples-policy-strict").value == "strict"
        assert app.number_input(key="answering-samples-threshold-0.35").value == 0.35

    def test_what_a_base_said_can_be_taken_back(self, api: Script) -> None:
        api.bases["samples"]["answering"] = {"strategy": "gone", "sufficient_relevance": 0.2}
        app = page()
        assert app.selectbox(key="answering-samples-strategy-gone").value == "gone"
        app.selectbox(key="answering-samples-strategy-gone").set_value("")
        app.number_input(key="answering-samples-threshold-0.2").set_value(None)
        app.button(key="answering-save").click().run()
        assert set(api.asked[-1]["answering"].values()) == {None}


class TestSearchMode:
    @pytest.mark.parametrize("mode", ["exact", "fuzzy", "semantic"])
    def test_a_search_looks_as_it_is_asked_to(self, api: Script, mode: str) -> None:
        app = page()
        assert app.selectbox(key="search-mode").options == ["混合", "精确", "模糊", "语义"]
        app.text_input(key="search-query").set_value("部署")
        app.selectbox(key="search-mode").set_value(mode).run()
        assert not app.exception
        assert api.asked[-1] == {
            "query": "部署", "knowledge_base_name": "samples", "top_k": 5, "search_mode": mode,
        }  # fmt: skip
        app.selectbox(key="search-mode").set_value("hybrid").run()
        assert "search_mode" not in api.asked[-1]


class TestSummary:
    def selected(self) -> AppTest:
        def draw() -> None:
            import streamlit as st

            from services.foundation.settings.tree import Knowledge
            from webui.app import _client
            from webui.components.file_summary import show_summary
            from webui.i18n import texts_in
            from webui.page import Limits, Page

            page = Page(texts_in("zh-CN"), _client("zh-CN"), st.sidebar, "", "samples", Limits.of(Knowledge()))
            show_summary("samples", page.client.files("samples")[0], page)

        return AppTest.from_function(draw, default_timeout=15).run()

    def test_a_file_is_summarised_and_the_summary_shown_as_text(self, api: Script) -> None:
        api.excerpt = "部署分三步。![x](http://canary.invalid/x.png)"
        app = self.selected()
        assert [text for text in app.caption if text.value == "这个文件还没有摘要。"]
        app.button(key="summarise").click().run()
        assert not app.exception
        assert api.asked[-1] == {"knowledge_base_name": "samples", "file_name": "手册.pdf"}
        assert app.markdown[1].value.startswith("部署分三步。")
        assert "![" not in app.markdown[1].value
        assert [text for text in app.caption if r"由模型 qwen3 写于 2026\-11\-21 08\:30" in text.value]
        assert app.button(key="summarise").label == "重新生成摘要"

    def test_a_summary_that_fails_is_a_sentence(self, api: Script) -> None:
        api.failure = NoWorker(model="qwen3")
        app = self.selected()
        app.button(key="summarise").click().run()
        assert "目前没有工作进程提供模型 qwen3" in app.error[0].value
        assert [text for text in app.caption if text.value == "这个文件还没有摘要。"]

    def test_what_is_not_indexed_cannot_be_summarised(self, api: Script) -> None:
        api.bases["samples"]["files"]["手册.pdf"]["chunk_count"] = 0
        assert self.selected().button(key="summarise").disabled
