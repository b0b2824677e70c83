"""The knowledge page's expander: how questions to a base are answered where they do not say it themselves."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from services.wire.chatchat import AnsweringOptions, BaseAnswering, KnowledgeBaseDetails
from webui.answering_form import choices_of, said_by
from webui.components.answering_settings import word_of
from webui.components.failures import boundary
from webui.i18n import Texts
from webui.markdown import plain
from webui.page import Page


def show_base_answering(base: KnowledgeBaseDetails, page: Page) -> None:
    """Draw what the base says, and save what is chosen instead."""
    texts = page.texts
    with st.expander(plain(texts("answering.title"))), boundary(texts):
        options = page.client.answering_options()
        # Named by what the base says: what was saved elsewhere is shown, and never overwritten unseen.
        with st.form(f"answering-{base.name}-{base.answering.model_dump_json()}", border=False):
            st.caption(plain(texts("answering.lead")))
            chosen = _form(base, options, texts)
            if st.form_submit_button(plain(texts("answering.save")), key="answering-save"):
                page.client.choose_answering(base.name, chosen)
                st.success(plain(texts("answering.saved")), icon=":material/check_circle:")


def _form(base: KnowledgeBaseDetails, options: AnsweringOptions, texts: Texts) -> BaseAnswering:
    said, of = base.answering, f"answering-{base.name}"
    presets = [preset.name for preset in options.presets]
    left, right = st.columns(2)
    with left:
        policy = _named(f"{of}-policy", options.policies, said.when_nothing_found, texts)
        threshold = _threshold(f"{of}-threshold", said.sufficient_relevance, texts)
    with right:
        strategy = _named(f"{of}-strategy", options.strategies, said.strategy, texts)
        preset = _named(f"{of}-preset", presets, said.preset, texts)
    return said_by(policy, threshold, strategy, preset)


def _threshold(key: str, said: float | None, texts: Texts) -> float | None:
    # Not as the widget's default: Streamlit lets a number be emptied only where it has none.
    st.session_state.setdefault(f"{key}-{said}", said)
    return st.number_input(
        plain(texts("answering.threshold")),
        min_value=0.0,
        max_value=1.0,
        value=None,
        step=0.05,
        key=f"{key}-{said}",
        placeholder=texts("answering.unsaid"),
        help=plain(texts("answering.threshold_help")),
    )


def _named(key: str, names: Sequence[str], said: str | None, texts: Texts) -> str:
    kind = key.rpartition("-")[2]

    def label(name: str) -> str:
        return word_of(kind, name, texts) if name else texts("answering.unsaid")

    offered = choices_of(names, said)
    chosen = st.selectbox(
        plain(texts(f"settings.{kind}")),
        offered,
        index=offered.index(said or ""),
        format_func=label,
        key=f"{key}-{said}",
    )
    return chosen or ""
