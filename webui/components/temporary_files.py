"""The sidebar's files of a file chat: dropped in, listed with what failed and why, removed at once."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from services.clients.chatchat import ChatchatClient, FileToUpload
from services.foundation.errors import ChatchatError, TemporaryFilesNotFound
from services.wire.chatchat import FileDetails
from webui.components.failures import boundary, sentence_of
from webui.components.file_table import remarks_of, state_of
from webui.file_sets import (
    FileSet,
    after_expiry,
    after_failure,
    after_upload,
    is_pending,
    is_readable,
    period_of,
    unlisted,
)
from webui.markdown import plain
from webui.page import Page
from webui.state import Session, current

_REFRESH_SECONDS = 2.0


def show_temporary_files(page: Page) -> str | None:
    """Draw the uploader and the files of this conversation; their id, once they can be asked about."""
    session, texts = current(), page.texts
    place = session.conversation
    known, listed = _look(session.file_sets.get(place, FileSet()), page.client)
    session.file_sets[place] = known
    dropped = _choose(session.upload_round, page)
    if dropped:
        with st.spinner(plain(texts("temporary.reading"))):
            session.file_sets[place] = _upload(known, dropped, page)
        session.upload_round += 1  # a new uploader: the page keeps no bytes of the files
        st.rerun()
    for name, sentence in unlisted(known, listed):
        st.caption(_failed(name, sentence))
    if listed:
        _show_list(known, listed, page)
        if st.button(plain(texts("temporary.remove")), key="remove-files", icon=":material/delete:", type="tertiary"):
            discard(session, place, page.client)
            st.rerun()
    return known.id if is_readable(listed) else None


def show_expiry(page: Page) -> None:
    """Draw that the files of this conversation are gone, if they are; not in the sidebar, which phones hide."""
    session = current()
    known = session.file_sets.get(session.conversation, FileSet())
    if known.has_expired:
        said = page.texts("temporary.expired", period=_period(page))
        st.warning(plain(said), icon=":material/timer_off:")


def discard(session: Session, conversation: str, client: ChatchatClient) -> None:
    """Delete the files of a conversation, if it has any; those that expired are gone already."""
    known = session.file_sets.pop(conversation, FileSet())
    if not known.id:
        return
    try:
        client.delete_temporary(known.id)
    except TemporaryFilesNotFound:
        return
    except ChatchatError:
        session.file_sets[conversation] = known
        raise


def _choose(upload_round: int, page: Page) -> Sequence[UploadedFile]:
    texts, limits = page.texts, page.limits.temporary
    dropped = st.file_uploader(
        plain(texts("temporary.choose")),
        type=[extension.lstrip(".") for extension in page.client.supported_extensions()],
        accept_multiple_files=True,
        key=f"temporary-{upload_round}",
        max_upload_size=limits.limit_mb,
        help=plain(texts("temporary.help", files=limits.files, limit_mb=limits.limit_mb)),
    )
    st.caption(plain(texts("temporary.kept", period=_period(page))))
    return dropped or ()


def _look(known: FileSet, client: ChatchatClient) -> tuple[FileSet, list[FileDetails]]:
    if not known.id:
        return known, []
    try:
        return known, client.temporary_files(known.id).files
    except TemporaryFilesNotFound:
        return after_expiry(), []


def _upload(known: FileSet, dropped: Sequence[UploadedFile], page: Page) -> FileSet:
    files = [FileToUpload(file.name, file) for file in dropped]
    try:
        return after_upload(page.client.upload_temporary(files, previous=known.id or None))
    except ChatchatError as failure:
        return after_failure(known, [file.name for file in files], sentence_of(failure, page.texts))


def _show_list(known: FileSet, first: Sequence[FileDetails], page: Page) -> None:
    """The files; while one of them is being read, drawn anew every other second."""
    busy = is_pending(first)

    @st.fragment(run_every=_REFRESH_SECONDS if busy else None)
    def files() -> None:
        with boundary(page.texts):
            seen, listed = _look(known, page.client) if busy else (known, first)
            if busy and (seen.has_expired or not is_pending(listed)):
                st.rerun()
            for file in listed:
                st.caption(_line(file, page))

    files()


def _line(file: FileDetails, page: Page) -> str:
    if file.failure:
        return _failed(file.name, file.failure)
    said = f"**{plain(file.name)}** {plain(state_of(file, page.texts))}"
    remarks = remarks_of(file, page.texts)
    return f"{said} · {plain(remarks)}" if remarks else said


def _failed(name: str, sentence: str) -> str:
    """Most sentences name the file they are about."""
    named = "" if name in sentence else f"**{plain(name)}** "
    return f":red[✗] {named}{plain(sentence)}"


def _period(page: Page) -> str:
    unit, count = period_of(page.limits.temporary.minutes)
    return page.texts(f"period.{unit}", count=count)
