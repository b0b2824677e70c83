"""What every page is handed by app.py."""

from __future__ import annotations

from dataclasses import dataclass

from streamlit.delta_generator import DeltaGenerator

from services.clients.chatchat import ChatchatClient
from services.foundation.settings.tree import Knowledge, Temporary
from webui.i18n import Texts


@dataclass(frozen=True, slots=True)
class Limits:
    """What can be uploaded.

    Attributes:
        file_mib: largest file of a knowledge base.
        temporary: how many files a file chat takes, how large, and how long they are kept.
    """

    file_mib: int
    temporary: Temporary

    @classmethod
    def of(cls, knowledge: Knowledge) -> Limits:
        """As the settings say."""
        return cls(max(1, knowledge.file_limit_bytes // 2**20), knowledge.temporary)


@dataclass(frozen=True, slots=True)
class Page:
    """What a page is made with.

    Attributes:
        sidebar: the page's own part of the sidebar.
        api_url: where a reader's browser reaches the API, without a trailing slash.
        default_base: knowledge base selected first.
        limits: of uploads.
    """

    texts: Texts
    client: ChatchatClient
    sidebar: DeltaGenerator
    api_url: str
    default_base: str
    limits: Limits
