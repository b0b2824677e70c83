"""What one file says in a few sentences: its summary, and the button that has one made."""

from __future__ import annotations

import streamlit as st

from services.wire.chatchat import FileDetails, SummariseFile, SummaryBody
from webui.components.failures import boundary, show
from webui.i18n import Texts
from webui.markdown import inert, plain
from webui.page import Page


def show_summary(base: str, file: FileDetails, page: Page) -> None:
    """Draw the summary of a file, if it has one, and have one made when that is asked for."""
    texts = page.texts
    with st.container(border=True):
        st.markdown(f"**{plain(file.name)}**")
        if file.summary is None:
            st.caption(plain(texts("summary.none")))
        else:
            st.markdown(inert(file.summary.text), anchors=False)
            st.caption(plain(origin_of(file.summary, texts)))
        label = texts("summary.start" if file.summary is None else "summary.again")
        # Only what is indexed has passages to be summarised.
        if st.button(plain(label), key="summarise", icon=":material/summarize:", disabled=not file.chunk_count):
            with st.spinner(plain(texts("summary.running"))), boundary(texts):
                _summarise(base, file.name, page)


def origin_of(summary: SummaryBody, texts: Texts) -> str:
    """Who wrote it, or that its sentences are the file's own; and when."""
    when = summary.created_at[:16].replace("T", " ")
    return texts(f"summary.{summary.kind}", model=summary.model, when=when)


def _summarise(base: str, name: str, page: Page) -> None:
    done = page.client.summarise_file(SummariseFile(knowledge_base_name=base, file_name=name))
    if done.failure is None:
        st.rerun()
    show(done.failure, page.texts)
