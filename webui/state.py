"""The typed view of st.session_state and of the URL, and the reducers over them. No drawing."""

from __future__ import annotations

import enum
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import streamlit as st

from services.clients.chatchat import AnswerSources
from services.wire.chatchat import CitationBody, ServedModelBody, TurnBody
from webui.file_sets import FileSet

TITLE_CHARS = 30
_OWNER = re.compile(r"[A-Za-z0-9_-]{22,64}")
_CONVERSATION = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Mode(enum.StrEnum):
    """What an answer is made from; the values are 0.2.10's chat types."""

    KNOWLEDGE = "knowledge_base_chat"
    FILES = "file_chat"
    MODEL = "llm_chat"


class Ending(enum.StrEnum):
    """How an answer ended."""

    WHOLE = "whole"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Pace:
    """How long an answer took, as the page saw it; None: that far it did not come."""

    first_seconds: float | None = None
    whole_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """A question with its answer as the page shows it.

    Attributes:
        failure: the sentence of a FAILED one.
        mode: what the answer was made from.
        sources: why it is what it is; None for one that is read from the conversation on record.
    """

    question: str
    answer: str
    citations: tuple[CitationBody, ...] = ()
    ending: Ending = Ending.WHOLE
    failure: str = ""
    mode: Mode = Mode.MODEL
    sources: AnswerSources | None = None
    pace: Pace = Pace()


@dataclass(frozen=True, slots=True)
class Address:
    """What the URL keeps, so that a reload loses nothing."""

    owner: str
    language: str
    conversation: str = ""

    def query(self) -> dict[str, str]:
        """The URL's parameters."""
        kept = {"u": self.owner, "lang": self.language, "c": self.conversation}
        return {name: value for name, value in kept.items() if value}


@dataclass(frozen=True, slots=True)
class UploadOutcome:
    """What became of one uploaded file; no failure means it can be found."""

    name: str
    failure: str | None = None


@dataclass(slots=True)
class Session:
    """What one browser tab holds between reruns.

    Attributes:
        loaded: the conversation whose turns `turns` are.
        suggestion: a question clicked instead of typed.
        uploads: outcomes of the last upload to `uploads_base`.
        upload_round: counts up to empty the uploader.
        file_sets: conversation (empty: one that is not opened yet) → the files of its file chat.
    """

    address: Address | None = None
    loaded: str = ""
    turns: list[Turn] = field(default_factory=list)
    suggestion: str = ""
    uploads: list[UploadOutcome] = field(default_factory=list)
    uploads_base: str = ""
    upload_round: int = 0
    file_sets: dict[str, FileSet] = field(default_factory=dict)

    @property
    def conversation(self) -> str:
        """The conversation that the tab is at; empty: one that is not opened yet."""
        return self.address.conversation if self.address else ""


def current() -> Session:
    """This tab's session."""
    found = st.session_state.get("chatchat")
    if isinstance(found, Session):
        return found
    fresh = Session()
    st.session_state["chatchat"] = fresh
    return fresh


def reconcile(query: Mapping[str, str], known: Address | None, languages: Sequence[str]) -> Address:
    """The address to go by: the URL's when it names an owner, else the tab's, else a new one.

    Args:
        query: the URL's parameters.
        known: the tab's address so far.
        languages: the UI's languages, the default first.
    """
    named = query.get("lang", "")
    kept = known.language if known else languages[0]
    language = named if named in languages else kept
    if _OWNER.fullmatch(query.get("u", "")):
        conversation = query.get("c", "")
        valid = conversation if _CONVERSATION.fullmatch(conversation) else ""
        return Address(query["u"], language, valid)
    if known is not None:
        return replace(known, language=language)
    return Address(secrets.token_urlsafe(24), language)


def publish(address: Address) -> None:
    """Write the address to the URL where it differs."""
    wanted = address.query()
    for name in ("u", "lang", "c"):
        if name not in wanted:
            st.query_params.pop(name, None)
        elif st.query_params.get(name) != wanted[name]:
            st.query_params[name] = wanted[name]


def go_to(conversation: str) -> None:
    """Make `conversation` (empty: a new one) the current one."""
    session = current()
    if session.address is not None:
        session.address = replace(session.address, conversation=conversation)
        publish(session.address)


def keep_choice(key: str, options: Sequence[str], first: str) -> None:
    """Before a selectbox: `first`, or the first option, unless its choice still is an option.

    Written to the session on purpose: the browser keeps showing an option that is gone, unless it is told another.
    """
    if st.session_state.get(key) not in options:
        fallback = first if first in options else next(iter(options), None)
        st.session_state[key] = fallback


def keep_choices(key: str, options: Sequence[str]) -> None:
    """Before a multiselect: forget the choices that are no options any more."""
    chosen = st.session_state.get(key) or []
    st.session_state[key] = [choice for choice in chosen if choice in options]


def title_of(question: str) -> str:
    """A conversation's title: the beginning of its first question."""
    return " ".join(question.split())[:TITLE_CHARS]


def turn_of(body: TurnBody) -> Turn:
    """A stored turn as the page shows it; one without an answer was broken off."""
    ending = Ending.WHOLE if body.answer else Ending.STOPPED
    mode = Mode(body.chat_type) if body.chat_type in set(Mode) else Mode.MODEL
    return Turn(body.question, body.answer, tuple(body.citations), ending, mode=mode)


def chat_models(served: Sequence[ServedModelBody]) -> list[ServedModelBody]:
    """The models one can chat with: running ones first, and the default first among its like."""
    chat = [model for model in served if model.task == "chat"]
    return sorted(chat, key=lambda model: (not model.running, not model.is_default, model.name))


def similarity_of(distance: float) -> float:
    """Similarity in [0, 1] of 0.2.10's distance, 2 − 2·similarity."""
    return min(max(1 - distance / 2, 0.0), 1.0)
