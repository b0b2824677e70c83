"""Knowledge bases on the knowledge page: choose, create, delete."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from services.wire.chatchat import CreateKnowledgeBase, KnowledgeBaseDetails, ServedModelBody
from webui.components.failures import boundary
from webui.markdown import plain
from webui.page import Page
from webui.state import keep_choice

_NAME_CHARS = 100
_DESCRIPTION_CHARS = 500


def choose_base(bases: Sequence[KnowledgeBaseDetails], page: Page) -> KnowledgeBaseDetails | None:
    """Draw the choice of a base and what can be done with bases; the chosen one, if there is any."""
    texts = page.texts
    choice, create = st.columns([3, 1], vertical_alignment="bottom")
    with create:
        if st.button(plain(texts("bases.create")), key="create-base", icon=":material/add:", width="stretch"):
            _create(page)
    names = [base.name for base in bases]
    keep_choice("knowledge-base", names, page.default_base)
    chosen = choice.selectbox(
        plain(texts("settings.base")),
        names,
        key="knowledge-base",
        placeholder=texts("settings.no_base"),
        persist_state="session",
    )
    return next((base for base in bases if base.name == chosen), None)


def show_base(base: KnowledgeBaseDetails, page: Page) -> None:
    """Draw what is known of a base, and its deletion."""
    texts = page.texts
    with st.container(border=True):
        about, delete = st.columns([5, 1], vertical_alignment="center")
        about.markdown(f"**{plain(base.name)}**")
        if base.description:
            about.text(base.description)
        about.caption(
            plain(
                texts(
                    "bases.facts",
                    count=base.file_count,
                    embedder=base.embedding_model,
                    store=base.vector_store,
                    created=base.created_at[:10],
                )
            )
        )
        if delete.button(
            plain(texts("bases.delete")), key="delete-base", icon=":material/delete:", type="tertiary", width="stretch"
        ):
            _delete(base, page)


def show_all(bases: Sequence[KnowledgeBaseDetails], page: Page) -> None:
    """Draw the list of every base."""
    texts = page.texts
    with st.expander(plain(texts("bases.all", count=len(bases)))):
        st.dataframe(
            {
                texts("column.name"): [base.name for base in bases],
                texts("column.description"): [base.description for base in bases],
                texts("column.files"): [base.file_count for base in bases],
                texts("column.embedder"): [base.embedding_model for base in bases],
                texts("column.store"): [base.vector_store for base in bases],
            },
            hide_index=True,
        )


def _create(page: Page) -> None:
    texts = page.texts

    @st.dialog(plain(texts("bases.create")))
    def ask() -> None:
        with boundary(texts):
            models = [model for model in page.client.models() if model.task == "embedding"]
            with st.form("new-base", border=False):
                wanted = _form(models, page)
            if wanted is not None:
                page.client.create_knowledge_base(wanted)
                # The choice is a widget of the page below: it takes the name on the next run.
                st.session_state["knowledge-base"] = wanted.knowledge_base_name
                st.rerun()

    ask()


def _form(models: Sequence[ServedModelBody], page: Page) -> CreateKnowledgeBase | None:
    texts = page.texts
    ordered = sorted(models, key=lambda model: not model.is_default)
    name = st.text_input(plain(texts("bases.name")), key="new-name", max_chars=_NAME_CHARS)
    st.caption(plain(texts("bases.name_help")))
    description = st.text_area(
        plain(texts("bases.description")), key="new-description", max_chars=_DESCRIPTION_CHARS, height=90
    )
    embedder = st.selectbox(
        plain(texts("bases.embedder")),
        [model.name for model in ordered],
        key="new-embedder",
        help=plain(texts("bases.embedder_help")),
    )
    if not st.form_submit_button(plain(texts("bases.create_now")), type="primary", key="create-now"):
        return None
    return CreateKnowledgeBase(
        knowledge_base_name=(name or "").strip(), kb_info=(description or "").strip(), embed_model=embedder
    )


def _delete(base: KnowledgeBaseDetails, page: Page) -> None:
    texts = page.texts

    @st.dialog(plain(texts("bases.delete")))
    def ask() -> None:
        st.markdown(plain(texts("bases.confirm", name=base.name, count=base.file_count)))
        confirmed = st.button(
            plain(texts("bases.delete_now")), key="delete-base-now", type="primary", icon=":material/delete:"
        )
        if confirmed:
            with boundary(texts):
                page.client.delete_knowledge_base(base.name)
                st.rerun()

    ask()
