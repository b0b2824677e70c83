"""What every page is handed by app.py."""

from __future__ import annotations

from dataclasses import dataclass

from streamlit.delta_generator import DeltaGenerator

from services.clients.chatchat import ChatchatClient
from webui.i18n import Texts


@dataclass(frozen=True, slots=True)
class Page:
    """What a page is made with.

    Attributes:
        sidebar: the page's own part of the sidebar.
        api_url: where a reader's browser reaches the API, without a trailing slash.
        default_base: knowledge base selected first.
        upload_limit_mib: largest file that can be uploaded.
    """

    texts: Texts
    client: ChatchatClient
    sidebar: DeltaGenerator
    api_url: str
    default_base: str
    upload_limit_mib: int
