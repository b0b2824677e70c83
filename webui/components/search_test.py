"""The search test: what a base finds for a query, without asking a model."""

from __future__ import annotations

import streamlit as st

from services.wire.chatchat import FoundDocument, SearchRequest
from webui.i18n import Texts
from webui.markdown import plain
from webui.page import Page
from webui.state import similarity_of


def show_search_test(base: str, page: Page) -> None:
    """Draw the query and its hits."""
    texts = page.texts
    st.caption(plain(texts("search.lead")))
    with st.form("search", border=False):
        query_place, limit_place = st.columns([4, 1], vertical_alignment="bottom")
        query = query_place.text_input(plain(texts("search.query")), key="search-query")
        limit = limit_place.number_input(plain(texts("settings.top_k")), 1, 20, 5, key="search-limit")
        st.form_submit_button(plain(texts("search.start")), key="search-start", icon=":material/search:")
    if not query or not query.strip():
        return
    found = page.client.search(SearchRequest(query=query.strip(), knowledge_base_name=base, top_k=int(limit)))
    if not found:
        st.info(plain(texts("search.none")), icon=":material/search_off:")
    for hit in found:
        with st.container(border=True):
            similarity = texts("search.similarity", percent=round(100 * similarity_of(hit.score)))
            st.markdown(f"**{plain(place_of(hit, texts))}** · {plain(similarity)}")
            st.text(hit.page_content)


def place_of(hit: FoundDocument, texts: Texts) -> str:
    """File and place of a hit, in words."""
    facts = {name: str(value) for name, value in hit.metadata.items() if value is not None}
    parts = [facts.get("source", "")]
    parts += [texts(f"place.{name}", **{name: facts[name]}) for name in ("page", "sheet") if name in facts]
    if "row" in facts and facts.get("last_row", facts["row"]) != facts["row"]:
        parts.append(texts("place.rows", row=facts["row"], last_row=facts["last_row"]))
    elif "row" in facts:
        parts.append(texts("place.row", row=facts["row"]))
    parts.append(facts.get("heading", ""))
    return " · ".join(part for part in parts if part)
