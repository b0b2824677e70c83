"""The error boundary of pages: a failure is a sentence with a remedy, never a trace."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from services.clients.chatchat import said
from services.foundation.errors import ChatchatError
from webui.i18n import Texts
from webui.markdown import plain

log = logging.getLogger(__name__)


@contextmanager
def boundary(texts: Texts) -> Iterator[None]:
    """Show what fails inside as a sentence; what nobody foresaw is logged and named in short."""
    try:
        yield
    except ChatchatError as failure:
        log.warning("shown to the reader: %s", failure)
        show(failure, texts)
    except Exception as failure:
        log.exception("the page failed")
        st.error(plain(texts("failure.unexpected", reason=type(failure).__name__)), icon=":material/error:")


def show(failure: ChatchatError, texts: Texts) -> None:
    """Draw a failure."""
    st.error(plain(sentence_of(failure, texts)), icon=":material/error:")


def sentence_of(failure: ChatchatError, texts: Texts) -> str:
    """The API's own sentence; for what failed on the way to it, ours, in the reader's language."""
    spoken = said(failure)
    if spoken is not None:
        return spoken
    key = f"failure.{failure.code}"
    facts = {name: str(value) for name, value in failure.facts.items()}
    return texts(key, **facts) if key in texts else str(failure)
