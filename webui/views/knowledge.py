"""The knowledge page: bases, their files, uploads and the search test."""

from __future__ import annotations

import streamlit as st

from webui.components.base_answering import show_base_answering
from webui.components.bases import choose_base, show_all, show_base
from webui.components.failures import boundary
from webui.components.file_table import show_files
from webui.components.search_test import show_search_test
from webui.components.uploads import show_uploads
from webui.markdown import plain
from webui.page import Page

_REFRESH_SECONDS = 2.0


def show_knowledge(page: Page) -> None:
    """Draw the page."""
    texts = page.texts
    st.markdown(f"### {plain(texts('page.knowledge'))}", anchors=False)
    bases = page.client.knowledge_bases()
    base = choose_base(bases, page)
    if base is None:
        st.info(plain(texts("bases.none")), icon=":material/library_add:")
        return
    show_base(base, page)
    show_base_answering(base, page)
    files_tab, search_tab = st.tabs([plain(texts("tab.files")), plain(texts("tab.search"))], key="knowledge-tabs")
    with files_tab, boundary(texts):
        show_uploads(base.name, page)
        _show_files(base.name, page)
    with search_tab, boundary(texts):
        show_search_test(base.name, [other.name for other in bases if other.name != base.name], page)
    if len(bases) > 1:
        show_all(bases, page)


def _show_files(base: str, page: Page) -> None:
    """The files; while one of them is being indexed, drawn anew every other second."""
    busy = any(file.state == "pending" for file in page.client.files(base))

    @st.fragment(run_every=_REFRESH_SECONDS if busy else None)
    def files() -> None:
        with boundary(page.texts):
            found = page.client.files(base)
            if busy and not any(file.state == "pending" for file in found):
                st.rerun()
            show_files(base, found, page)

    files()
