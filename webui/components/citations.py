"""The passages below an answer: where each stands, its text as it is, and a link to the file at that place."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit

import streamlit as st

from services.wire.chatchat import CitationBody
from webui.i18n import Texts
from webui.markdown import plain
from webui.page import Page

_HEADING_CHARS = 60


def show_citations(citations: Sequence[CitationBody], page: Page) -> None:
    """Draw an expander for each citation."""
    if not citations:
        return
    st.caption(plain(page.texts("citations.title", count=len(citations))))
    for citation in citations:
        with st.expander(plain(label_of(citation, page.texts))):
            st.text(citation.excerpt)
            link = absolute(page.client.link(citation.url), page.api_url)
            if link is not None:
                text = plain(link_text(citation, page.texts))
                st.link_button(text, link, type="tertiary", icon=":material/open_in_new:")


def label_of(citation: CitationBody, texts: Texts) -> str:
    """`[1] report.pdf · page 12 · heading`."""
    parts = [f"[{citation.number}] {citation.file_name}", *place_of(citation, texts)]
    return " · ".join(part for part in parts if part)


def place_of(citation: CitationBody, texts: Texts) -> list[str]:
    """The known parts of a citation's place, in words."""
    parts = []
    if citation.page is not None:
        parts.append(texts("place.page", page=citation.page))
    if citation.sheet is not None:
        parts.append(texts("place.sheet", sheet=citation.sheet))
    if citation.row is not None and citation.last_row not in {None, citation.row}:
        parts.append(texts("place.rows", row=citation.row, last_row=citation.last_row or citation.row))
    elif citation.row is not None:
        parts.append(texts("place.row", row=citation.row))
    heading = " › ".join(part for part in citation.heading if part)
    if heading:
        parts.append(heading if len(heading) <= _HEADING_CHARS else f"…{heading[-_HEADING_CHARS:]}")
    return parts


def link_text(citation: CitationBody, texts: Texts) -> str:
    """What the link to the file says."""
    if citation.page is not None:
        return texts("citations.open_at", page=citation.page)
    return texts("citations.open")


def absolute(url: str, api_url: str) -> str | None:
    """The citation's link under the API's public address; None for what is none, or no web address."""
    if not url:  # a file of a file chat
        return None
    whole = urljoin(f"{api_url}/", url)
    return whole if urlsplit(whole).scheme in {"http", "https"} else None
