"""Turns as the chat page draws them, and the one answer that is being streamed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from services.clients.chatchat import AnswerEvent, AnswerPiece, AnswerStream
from services.foundation.errors import ChatchatError
from services.wire.chatchat import CitationBody
from webui.components.citations import show_citations
from webui.components.failures import sentence_of
from webui.markdown import inert, plain
from webui.page import Page
from webui.pulse import pulse
from webui.state import Ending, Mode, Turn

_DOTS = 3


@dataclass(slots=True)
class Draft:
    """An answer that is being written; STOPPED until it has come to its end."""

    question: str
    mode: Mode
    text: str = ""
    citations: tuple[CitationBody, ...] = ()
    ending: Ending = Ending.STOPPED
    failure: str = ""

    def turn(self) -> Turn:
        """What there is of it by now."""
        return Turn(self.question, self.text, self.citations, self.ending, self.failure, self.mode)


@dataclass(slots=True)
class _Waiting:
    """The sign of life before the first piece."""

    sentence: str
    ticks: int = field(default=0)

    def next(self) -> str:
        self.ticks += 1
        return f"{self.sentence}{'.' * (self.ticks % (_DOTS + 1))}"


def show_turn(turn: Turn, page: Page) -> None:
    """Draw a question and its answer."""
    show_question(turn.question)
    with st.chat_message("assistant", avatar=":material/auto_stories:"):
        if turn.answer:
            st.markdown(inert(turn.answer), anchors=False)
        if turn.ending is Ending.FAILED:
            st.error(plain(turn.failure), icon=":material/error:")
        if turn.ending is Ending.STOPPED:
            st.caption(plain(page.texts("chat.stopped")))
        if turn.ending is Ending.WHOLE and turn.mode is Mode.KNOWLEDGE and not turn.citations:
            st.caption(plain(page.texts("citations.none")))
        show_citations(turn.citations, page)


def show_question(question: str) -> None:
    """Draw a question, as it was typed."""
    with st.chat_message("user", avatar=":material/person:"):
        st.text(question)


def stream_answer(draft: Draft, stream: AnswerStream, page: Page, keep: Callable[[], None]) -> None:
    """Draw an answer while it comes; `keep` is called whenever the draft has changed."""
    with st.chat_message("assistant", avatar=":material/auto_stories:"):
        place, stop = st.empty(), st.empty()
        # A click begins the script anew, which ends this run where it draws next.
        stop.button(plain(page.texts("chat.stop")), key="stop", icon=":material/stop_circle:", type="tertiary")
        waiting = _Waiting(page.texts("chat.waiting"))
        try:
            with closing(pulse(stream)) as batches:
                for batch in batches:
                    _take(draft, batch)
                    keep()
                    _draw(draft, place, waiting)
            draft.ending = Ending.WHOLE
        except ChatchatError as failure:
            draft.ending = Ending.FAILED
            draft.failure = sentence_of(failure, page.texts)
        keep()


def _take(draft: Draft, batch: Sequence[AnswerEvent]) -> None:
    for event in batch:
        if isinstance(event, AnswerPiece):
            draft.text += event.text
        else:
            draft.citations = event.citations


def _draw(draft: Draft, place: DeltaGenerator, waiting: _Waiting) -> None:
    """Also when nothing came: only where something is drawn does Streamlit notice that the reader left."""
    if draft.text:
        place.markdown(inert(draft.text), anchors=False)
    else:
        place.caption(plain(waiting.next()))
