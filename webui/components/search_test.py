"""The search test: what bases find for a query, and why, without asking a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import streamlit as st

from services.wire.chatchat import ExplainedSearch, FoundDocument, SearchModeName, SearchRequest
from webui.components.answering_settings import choose_more_bases
from webui.components.why import show_search_why
from webui.explanation import place_words
from webui.i18n import Texts
from webui.markdown import plain
from webui.page import Page
from webui.state import similarity_of

_MODES = get_args(SearchModeName)
# Enter, or leaving the field, searches at once; without "live" Streamlit says so in English, whatever the page speaks.
_UNTIL_ENTER = "30s"


def show_search_test(base: str, others: Sequence[str], page: Page) -> None:
    """Draw the query and its hits; `others`: the bases that can be searched as well."""
    texts = page.texts
    st.caption(plain(texts("search.lead")))
    query_place, mode_place, limit_place = st.columns([4, 1.4, 1], vertical_alignment="bottom")
    query = query_place.text_input(plain(texts("search.query")), key="search-query", live=_UNTIL_ENTER)
    mode = mode_place.selectbox(
        plain(texts("search.mode")),
        _MODES,
        format_func=lambda name: texts(f"search_mode.{name}"),
        key="search-mode",
        help=plain(texts("search.mode_help")),
    )
    limit = limit_place.number_input(plain(texts("settings.top_k")), 1, 20, 5, key="search-limit")
    more_bases = choose_more_bases("search-more-bases", others, page)
    st.button(plain(texts("search.start")), key="search-start", icon=":material/search:")
    if not query or not query.strip():
        return
    wanted: dict[str, object] = {"query": query.strip(), "knowledge_base_name": base, "top_k": int(limit)}
    if more_bases:
        wanted["more_knowledge_bases"] = list(more_bases)
    if mode and mode != _MODES[0]:
        wanted["search_mode"] = mode
    _show(page.client.explain_search(SearchRequest.model_validate(wanted)), page)


def _show(found: ExplainedSearch, page: Page) -> None:
    texts = page.texts
    if not found.documents:
        st.info(plain(texts("search.none")), icon=":material/search_off:")
    for rank, hit in enumerate(found.documents, start=1):
        with st.container(border=True):
            st.markdown(f"{rank}\\. **{plain(place_of(hit, texts))}**")
            st.caption(plain(nearness_of(hit, texts)))
            st.text(hit.page_content)
    show_search_why(found.why, page)


def nearness_of(hit: FoundDocument, texts: Texts) -> str:
    """Similarity of a hit, and its relevance where a reranker gave one."""
    said = [texts("search.similarity", percent=round(100 * similarity_of(hit.score)))]
    relevance = hit.metadata.get("relevance")
    if isinstance(relevance, float | int):
        said.append(texts("search.relevance", percent=round(100 * relevance)))
    return " · ".join(said)


def place_of(hit: FoundDocument, texts: Texts) -> str:
    """Base (where several were searched), file and place of a hit, in words."""
    named = [str(hit.metadata[name]) for name in ("knowledge_base", "source") if hit.metadata.get(name)]
    return " · ".join(part for part in (*named, *place_words(hit.metadata, texts)) if part)
