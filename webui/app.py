"""The web UI's door: settings, client, pages. Run as `python -m streamlit run webui/app.py`; startup.py -a does so."""

from __future__ import annotations

import streamlit as st

from services.clients.chatchat import ChatchatClient
from services.foundation.settings.load import BadSettings, read_settings
from services.foundation.settings.tree import Settings
from webui.components.failures import boundary
from webui.components.frame import languages_from, show_frame
from webui.i18n import texts_in
from webui.markdown import plain
from webui.page import Limits, Page
from webui.state import current, publish, reconcile
from webui.views.chat import show_chat
from webui.views.knowledge import show_knowledge


@st.cache_resource(show_spinner=False)
def _settings() -> Settings:
    return read_settings()


@st.cache_resource(show_spinner=False, on_release=ChatchatClient.close)
def _client(language: str) -> ChatchatClient:
    server = _settings().server
    key = server.access_keys[0] if server.access_keys else None
    return ChatchatClient(server.api.url, timeout_seconds=server.request_timeout_seconds, key=key, language=language)


def main() -> None:
    """Draw the page of the URL."""
    settings, session = _settings(), current()
    address = reconcile(st.query_params, session.address, languages_from(settings.server.language))
    session.address = address
    publish(address)
    texts = texts_in(address.language)
    pages = [
        st.Page(lambda: show_chat(page), title=texts("page.chat"), url_path="chat", default=True),
        st.Page(lambda: show_knowledge(page), title=texts("page.knowledge"), url_path="knowledge"),
    ]
    chosen = st.navigation(pages, position="hidden")
    page = Page(
        texts=texts,
        client=_client(address.language),
        sidebar=show_frame(chosen, pages, address, texts),
        api_url=settings.server.api.url,
        default_base=settings.knowledge.default_base,
        limits=Limits.of(settings.knowledge),
    )
    with boundary(texts):
        chosen.run()


if __name__ == "__main__":
    try:
        main()
    except BadSettings as failure:
        st.error(plain(str(failure)))
