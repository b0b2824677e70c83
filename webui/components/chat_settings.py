"""The sidebar's choices for the next answer: mode, knowledge base, model; the rest stands in `answering_settings`."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from services.wire.chatchat import KnowledgeBaseDetails, ServedModelBody
from webui.asking import ChatChoices
from webui.components.answering_settings import show_answering_settings
from webui.components.failures import boundary
from webui.components.temporary_files import show_temporary_files
from webui.markdown import plain
from webui.page import Page
from webui.state import Mode, chat_models, keep_choice

_BUILT_IN = "extractive"


def show_chat_settings(page: Page) -> ChatChoices:
    """Draw the choices into the page's part of the sidebar."""
    texts = page.texts
    models: Sequence[ServedModelBody] = ()
    bases = page.client.knowledge_bases()
    with boundary(texts):
        models = chat_models(page.client.models())
    with page.sidebar:
        chosen = st.radio(
            plain(texts("settings.mode")),
            [mode.value for mode in Mode],
            format_func=lambda choice: texts(f"mode.{choice}"),
            key="mode",
            persist_state="session",
        )
        mode = Mode(chosen or Mode.KNOWLEDGE)
        base, files = _base(bases, page) if mode is Mode.KNOWLEDGE else None, None
        if mode is Mode.FILES:
            with boundary(texts):
                files = show_temporary_files(page)
        also = st.empty()
        model = _model(models, page)
        if model is not None and model.engine == _BUILT_IN:
            st.caption(plain(texts("settings.built_in")))
        others = [other.name for other in bases if base is not None and other.name != base.name]
        wishes = show_answering_settings(base, others, page, grounded=mode is Mode.FILES or base is not None)
        if wishes.more_bases:
            also.caption(plain(texts("settings.also", bases=texts("list.comma").join(wishes.more_bases))))
    return ChatChoices(mode, model, base, wishes, files)


def _base(bases: Sequence[KnowledgeBaseDetails], page: Page) -> KnowledgeBaseDetails | None:
    names = [base.name for base in bases]
    keep_choice("chat-base", names, page.default_base)
    chosen = st.selectbox(
        plain(page.texts("settings.base")),
        names,
        key="chat-base",
        placeholder=page.texts("settings.no_base"),
        persist_state="session",
    )
    return next((base for base in bases if base.name == chosen), None)


def _model(models: Sequence[ServedModelBody], page: Page) -> ServedModelBody | None:
    named = {model.name: model for model in models}

    def label(name: str) -> str:
        return name if named[name].running else page.texts("settings.not_running", model=name)

    keep_choice("model", list(named), models[0].name if models else "")
    chosen = st.selectbox(
        plain(page.texts("settings.model")),
        list(named),
        format_func=label,
        key="model",
        placeholder=page.texts("settings.no_model"),
        persist_state="session",
    )
    return named.get(chosen) if chosen else None
