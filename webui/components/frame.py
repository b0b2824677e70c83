"""What stands around every page: the product's name, the pages, the language."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.navigation.page import Page as NavigationPage

from webui.i18n import LANGUAGES, Texts
from webui.markdown import plain
from webui.state import Address

_ASSETS = Path(__file__).parents[1] / "assets"
_ICON = str(_ASSETS / "icon.svg")
# Not on the page itself: its icon would become the favicon, which Streamlit fetches from another host.
_PAGE_ICONS = {"": ":material/forum:", "knowledge": ":material/library_books:"}


def show_frame(
    chosen: NavigationPage, pages: Sequence[NavigationPage], address: Address, texts: Texts
) -> DeltaGenerator:
    """Draw the sidebar's fixed parts around the page's own part, which is returned."""
    st.set_page_config(
        page_title=f"{chosen.title} · Chatchat",
        page_icon=_ICON,
        layout="centered" if chosen.url_path == "" else "wide",
    )
    st.logo(str(_ASSETS / "logo.svg"), icon_image=_ICON, size="large")
    with st.sidebar:
        for page in pages:
            icon = _PAGE_ICONS[page.url_path]
            st.page_link(page, label=plain(page.title), icon=icon, query_params=address.query(), width="stretch")
        own = st.container()
        st.segmented_control(
            plain(texts("frame.language")),
            list(LANGUAGES),
            default=address.language,
            format_func=lambda tag: LANGUAGES[tag],
            key="language",
            required=True,
            on_change=_switch,
        )
    return own


def languages_from(default: str) -> list[str]:
    """Every language tag, the default first."""
    return sorted(LANGUAGES, key=lambda tag: tag != default)


def _switch() -> None:
    st.query_params["lang"] = st.session_state["language"]
