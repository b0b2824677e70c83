"""The chat page: the conversation of the URL, and the next question."""

from __future__ import annotations

import streamlit as st

from services.foundation.errors import ChatchatError, ConversationNotFound
from webui.asking import ChatChoices, request_for
from webui.components.chat_settings import show_chat_settings
from webui.components.conversations import show_conversations
from webui.components.failures import sentence_of, show
from webui.components.message_stream import Draft, show_question, show_turn, stream_answer
from webui.components.temporary_files import show_expiry
from webui.markdown import plain
from webui.page import Page
from webui.state import Ending, Mode, Session, Turn, current, go_to, title_of, turn_of

_QUESTION_CHARS = 8000
_SUGGESTIONS = ("welcome.example_1", "welcome.example_2")


def show_chat(page: Page) -> None:
    """Draw the page."""
    session = current()
    choices = show_chat_settings(page)
    _load(session, page)
    show_conversations(session, page)
    for turn in session.turns:
        show_turn(turn, page)
    if choices.mode is Mode.FILES:
        show_expiry(page)
    typed = st.chat_input(
        page.texts("chat.placeholder"),
        key="question",
        max_chars=_QUESTION_CHARS,
        disabled=not choices.can_ask,
        submit_mode="disable",
    )
    question, session.suggestion = (typed or session.suggestion).strip(), ""
    # Emptied before an answer is streamed: what the last run drew would stand below it until the end.
    place = st.empty()
    if question and choices.can_ask:
        _ask(question, choices, session, page)
    elif not session.turns:
        with place.container():
            _welcome(choices, page)


def _load(session: Session, page: Page) -> None:
    """Fetch the turns of the conversation the URL names, unless they are here already."""
    wanted = session.conversation
    if wanted == session.loaded:
        return
    session.turns, session.loaded = [], wanted
    if not wanted:
        return
    try:
        session.turns = [turn_of(body) for body in page.client.conversation(wanted).turns]
    except ConversationNotFound as failure:
        session.loaded = ""
        go_to("")
        show(failure, page.texts)
    except ChatchatError:
        session.loaded = ""
        raise


def _welcome(choices: ChatChoices, page: Page) -> None:
    texts = page.texts
    st.space("large")
    st.markdown(f"### {plain(texts('welcome.title'))}", anchors=False, text_alignment="center")
    of_files = choices.mode is Mode.FILES
    st.markdown(plain(texts("welcome.lead_files" if of_files else "welcome.lead")), text_alignment="center")
    steps = ("drop", "sources") if of_files else ("ask", "sources", "add")
    for step in steps:
        st.markdown(f"{plain(texts(f'welcome.{step}'))}", text_alignment="center")
    if of_files:
        return
    if choices.mode is Mode.KNOWLEDGE and choices.base is None:
        st.info(plain(texts("welcome.no_base")), icon=":material/info:")
        return
    with st.container(horizontal=True, horizontal_alignment="center"):
        for key in _SUGGESTIONS:
            st.button(plain(texts(key)), key=key, on_click=_suggest, args=(texts(key),), disabled=not choices.can_ask)


def _suggest(question: str) -> None:
    current().suggestion = question


def _ask(question: str, choices: ChatChoices, session: Session, page: Page) -> None:
    if session.address is not None and not session.address.conversation:
        _open(question, session.address.owner, page)
    show_question(question)
    draft = Draft(question, choices.mode)
    stream = page.client.answer(request_for(question, choices, session))
    turns, position = session.turns, len(session.turns)
    turns.append(draft.turn())

    def keep() -> None:
        turns[position] = draft.turn()

    # Kept as it grows: a click begins the next run of the script before this one has ended.
    stream_answer(draft, stream, page, keep)
    st.rerun()


def _open(question: str, owner: str, page: Page) -> None:
    """Open the conversation and begin again, so that the sidebar lists it while the answer is written."""
    session = current()
    try:
        opened = page.client.open_conversation(owner, title_of(question))
    except ChatchatError as failure:
        said = sentence_of(failure, page.texts)
        session.turns.append(Turn(question, "", ending=Ending.FAILED, failure=said))
        st.rerun()
    session.loaded, session.suggestion = opened.id, question
    if "" in session.file_sets:
        session.file_sets[opened.id] = session.file_sets.pop("")
    go_to(opened.id)
    st.rerun()
