"""Why an answer, or a search, is what it is: the legend of its marks and the expander with every stage."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from services.clients.chatchat import AnswerSources
from services.wire.chatchat import SupportBody, WhyBody
from webui.explanation import Reading, approach_of, arm_of, columns_of, times_of
from webui.markdown import plain
from webui.page import Page
from webui.state import Turn
from webui.support import SIGNS, count_of, doubtful, line_of, prose_of

_WIDTHS = {"fate": 118, "passage": 220, "fused": 62, "final": 62}  # pixels
_WIDTH = 78


def shown_support(turn: Turn) -> tuple[SupportBody, ...]:
    """The sentences of an answer that had passages; without any, there is nothing to compare them with."""
    return prose_of(turn.answer, turn.sources.support) if turn.sources and turn.citations else ()


def show_legend(support: Sequence[SupportBody], page: Page) -> None:
    """Draw what the marks in the answer mean, or that there are none to make."""
    if not support:
        return
    texts = page.texts
    kinds = [kind for kind in SIGNS if any(sentence.support == kind for sentence in support)]
    signs = [f"{SIGNS[kind]}\u00a0{plain(texts(f'support.{kind}'))}" for kind in kinds]
    whole = plain(texts("support.all"))
    st.caption("\u2003".join(signs or [f":material/check: {whole}"]), help=plain(texts("support.help")))


def show_why(turn: Turn, page: Page) -> None:
    """Draw the expander below an answer, where the API said why."""
    sources, texts = turn.sources, page.texts
    if sources is None or sources.why is None:
        return
    with st.expander(plain(texts("why.answer")), icon=":material/manage_search:"):
        _title("why.query", page)
        st.text(sources.why.query)
        if sources.why.query.strip() != turn.question.strip():
            st.caption(plain(texts("why.rewritten")))
        if sources.why.wordings:
            st.caption(plain(texts("why.wordings")))
            st.text("\n".join(sources.why.wordings))
        numbers = {citation.chunk_id: citation.number for citation in sources.citations}
        left_out = sources.answering.left_out if sources.answering else ()
        _search(sources.why, Reading(numbers, left_out), page)
        _answering(sources, page)
        _sentences(shown_support(turn), page)
        _title("why.times", page)
        st.markdown(plain(times_of(sources.why.milliseconds, texts)))
        first, whole = turn.pace.first_seconds, turn.pace.whole_seconds
        if first is not None and whole is not None:
            st.markdown(plain(texts("why.pace", first=f"{first:.1f}", whole=f"{whole:.1f}")))


def show_search_why(why: WhyBody, page: Page) -> None:
    """Draw the expander below the hits of a search test."""
    with st.expander(plain(page.texts("why.search")), icon=":material/manage_search:"):
        _search(why, Reading({}, is_answer=False), page)
        _title("why.times", page)
        st.markdown(plain(times_of(why.milliseconds, page.texts)))


def _search(why: WhyBody, reading: Reading, page: Page) -> None:
    texts = page.texts
    _title("why.arms", page)
    several = len({arm.knowledge_base for arm in why.arms}) > 1
    _lines([plain(arm_of(arm, texts, named=several)) for arm in why.arms])
    _title("why.candidates", page)
    used = sum(candidate.fate == "used" for candidate in why.candidates)
    st.caption(plain(texts("why.candidates_lead", count=len(why.candidates), used=used)))
    if why.candidates:
        columns = columns_of(why, reading, texts)
        widths = dict.fromkeys(columns, _WIDTH) | {texts(f"column.{name}"): width for name, width in _WIDTHS.items()}
        config = {name: st.column_config.TextColumn(width=width) for name, width in widths.items()}
        st.dataframe(columns, hide_index=True, column_config=config)


def _answering(sources: AnswerSources, page: Page) -> None:
    if sources.answering is not None:
        _title("why.approach", page)
        _lines([plain(line) for line in approach_of(sources.answering, page.texts)])


def _sentences(support: Sequence[SupportBody], page: Page) -> None:
    texts = page.texts
    if not support:
        return
    _title("why.sentences", page)
    st.markdown(plain(count_of(support, texts)))
    _lines([f"{SIGNS[sentence.support]} {plain(line_of(sentence, texts))}" for sentence in doubtful(support)])


def _title(key: str, page: Page) -> None:
    st.markdown(f"**{plain(page.texts(key))}**")


def _lines(lines: Sequence[str]) -> None:
    if lines:
        st.markdown("\n".join(f"- {line}" for line in lines))
