"""The sidebar's list of conversations: new, open, delete."""

from __future__ import annotations

import streamlit as st

from services.wire.chatchat import ConversationBody
from webui.components.failures import boundary
from webui.components.temporary_files import discard
from webui.markdown import plain
from webui.page import Page
from webui.state import Session, current, go_to

_SHOWN = 30


def show_conversations(session: Session, page: Page) -> None:
    """Draw the list into the page's part of the sidebar."""
    address = session.address
    if address is None:
        return
    with page.sidebar, boundary(page.texts):
        label = plain(page.texts("conversations.new"))
        st.button(label, key="new", on_click=_begin, args=(page,), icon=":material/add_comment:", width="stretch")
        found = page.client.conversations(address.owner)[:_SHOWN]
        if not found:
            return
        st.caption(plain(page.texts("conversations.title")))
        with st.container(height=264 if len(found) > 6 else "content", border=False, gap="xsmall"):
            for conversation in found:
                _row(conversation, page, is_open=conversation.id == address.conversation)


def _begin(page: Page) -> None:
    """Begin a new conversation, without the files that were chosen for one that was never begun."""
    with boundary(page.texts):
        discard(current(), "", page.client)
    go_to("")


def _row(conversation: ConversationBody, page: Page, *, is_open: bool) -> None:
    name, more = st.columns([5, 1], gap="small", vertical_alignment="center")
    title = plain(conversation.title or page.texts("conversations.untitled"))
    ident = conversation.id
    name.button(
        f"**{title}**" if is_open else title,
        key=f"open-{ident}",
        on_click=go_to,
        args=(ident,),
        type="tertiary",
        wrap=False,
        icon=":material/chat_bubble:" if is_open else ":material/chat_bubble_outline:",
    )
    delete = more.button(
        ":material/delete:",
        key=f"delete-{ident}",
        type="tertiary",
        help=plain(page.texts("conversations.delete")),
    )
    if delete:
        _confirm(conversation, page, is_open=is_open)


def _confirm(conversation: ConversationBody, page: Page, *, is_open: bool) -> None:
    texts = page.texts

    @st.dialog(plain(texts("conversations.delete")))
    def ask() -> None:
        title = conversation.title or texts("conversations.untitled")
        st.markdown(plain(texts("conversations.confirm", title=title)))
        if st.button(plain(texts("conversations.delete")), key="delete-conversation", type="primary"):
            with boundary(texts):
                page.client.delete_conversation(conversation.id)
                discard(current(), conversation.id, page.client)
                if is_open:
                    go_to("")
                st.rerun()

    ask()
