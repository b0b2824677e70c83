"""Turns as the chat page draws them, and the one answer that is being streamed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from services.clients.chatchat import AnswerEvent, AnswerSources, AnswerStream
from services.foundation.errors import ChatchatError
from webui.components.citations import show_citations
from webui.components.failures import sentence_of
from webui.components.why import show_legend, show_why, shown_support
from webui.markdown import inert, plain
from webui.page import Page
from webui.pulse import pulse
from webui.state import Ending, Mode, Pace, Turn
from webui.support import marks_of

_DOTS = 3
_NO_PASSAGE = {Mode.KNOWLEDGE: "citations.none", Mode.FILES: "citations.none_in_files"}


@dataclass(slots=True)
class Draft:
    """An answer that is being written; STOPPED until it has come to its end."""

    question: str
    mode: Mode
    text: str = ""
    sources: AnswerSources | None = None
    ending: Ending = Ending.STOPPED
    failure: str = ""
    pace: Pace = field(default_factory=Pace)
    began: float = field(default_factory=time.monotonic)

    def turn(self) -> Turn:
        """What there is of it by now."""
        citations = self.sources.citations if self.sources else ()
        return Turn(self.question, self.text, citations, self.ending, self.failure, self.mode, self.sources, self.pace)

    def take(self, batch: Sequence[AnswerEvent]) -> None:
        """Add what came."""
        for event in batch:
            if isinstance(event, AnswerSources):
                self.sources = event
                continue
            if not self.text:
                self.pace = Pace(first_seconds=time.monotonic() - self.began)
            self.text += event.text

    def end(self) -> None:
        """It came to its end."""
        self.ending = Ending.WHOLE
        self.pace = replace(self.pace, whole_seconds=time.monotonic() - self.began)


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
        support = shown_support(turn)
        if turn.answer:
            st.markdown(inert(turn.answer, marks_of(support)), anchors=False)
        if turn.ending is Ending.FAILED:
            st.error(plain(turn.failure), icon=":material/error:")
        if turn.ending is Ending.STOPPED:
            st.caption(plain(page.texts("chat.stopped")))
        if turn.ending is Ending.WHOLE and turn.mode in _NO_PASSAGE and not turn.citations:
            st.caption(plain(page.texts(_NO_PASSAGE[turn.mode])))
        show_legend(support, page)
        show_citations(turn.citations, page)
        show_why(turn, page)


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
                    draft.take(batch)
                    keep()
                    _draw(draft, place, waiting)
            draft.end()
        except ChatchatError as failure:
            draft.ending = Ending.FAILED
            draft.failure = sentence_of(failure, page.texts)
        keep()


def _draw(draft: Draft, place: DeltaGenerator, waiting: _Waiting) -> None:
    """Also when nothing came: only where something is drawn does Streamlit notice that the reader left."""
    if draft.text:
        place.markdown(inert(draft.text), anchors=False)
    else:
        place.caption(plain(waiting.next()))
