"""The sidebar's choices for the next answer: model, mode, knowledge base, passages, temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from services.wire.chatchat import KnowledgeBaseDetails, ServedModelBody
from webui.components.failures import boundary
from webui.markdown import plain
from webui.page import Page
from webui.state import Mode, chat_models, keep_choice

_BUILT_IN = "extractive"


@dataclass(frozen=True, slots=True)
class ChatChoices:
    """What was chosen. `model` and `base` are None where there is nothing to choose from."""

    mode: Mode
    model: ServedModelBody | None
    base: KnowledgeBaseDetails | None
    top_k: int
    temperature: float

    @property
    def can_ask(self) -> bool:
        """There is what an answer needs."""
        return self.model is not None and (self.mode is Mode.MODEL or self.base is not None)


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
        base = _base(bases, page) if mode is not Mode.MODEL else None
        model = _model(models, page)
        if model is not None and model.engine == _BUILT_IN:
            st.caption(plain(texts("settings.built_in")))
        with st.expander(plain(texts("settings.more"))):
            top_k = st.slider(plain(texts("settings.top_k")), 1, 20, 3, key="top_k", persist_state="session")
            temperature = st.slider(
                plain(texts("settings.temperature")),
                0.0,
                1.0,
                0.7,
                0.05,
                help=plain(texts("settings.temperature_help")),
                key="temperature",
                persist_state="session",
            )
    return ChatChoices(mode, model, base, int(top_k), float(temperature))


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
