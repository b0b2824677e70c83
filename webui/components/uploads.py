"""Uploading files into a base: one request a file, so that the progress shown is real."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.uploaded_file_manager import UploadedFile

from services.clients.chatchat import ChatchatClient, FileToUpload
from services.foundation.errors import ChatchatError
from services.wire.chatchat import FileDetails
from webui.components.failures import sentence_of
from webui.components.file_table import state_of
from webui.i18n import Texts
from webui.markdown import plain
from webui.page import Page
from webui.state import UploadOutcome, current

_POLL_SECONDS = 0.4


def show_uploads(base: str, page: Page) -> None:
    """Draw the uploader and what became of the last upload."""
    session, texts = current(), page.texts
    files = st.file_uploader(
        plain(texts("uploads.choose")),
        type=[extension.lstrip(".") for extension in page.client.supported_extensions()],
        accept_multiple_files=True,
        key=f"uploader-{session.upload_round}",
        max_upload_size=page.limits.file_mib,
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        pressed = st.button(
            plain(texts("uploads.start")), key="upload", type="primary", disabled=not files, icon=":material/upload:"
        )
        override = st.toggle(plain(texts("uploads.override")), key="override", persist_state="session")
    if pressed and files:
        session.uploads, session.uploads_base = [], base
        _upload(base, files, page, override=override)
        session.upload_round += 1
        st.rerun()
    if session.uploads_base == base:
        _show_outcomes(session.uploads, texts)


def _upload(base: str, files: Sequence[UploadedFile], page: Page, *, override: bool) -> None:
    bar = st.progress(0.0)
    for position, file in enumerate(files):
        said = page.texts("uploads.progress", position=position + 1, count=len(files), file=file.name)
        show = partial(_show_progress, bar, position / len(files), said, page.texts)
        show(None)
        outcome = upload_one(page, base, FileToUpload(file.name, file), override=override, show=show)
        current().uploads.append(outcome)


def _show_progress(bar: DeltaGenerator, share: float, said: str, texts: Texts, record: FileDetails | None) -> None:
    bar.progress(share, text=plain(said if record is None else f"{said} · {state_of(record, texts)}"))


def upload_one(
    page: Page, base: str, file: FileToUpload, *, override: bool, show: Callable[[FileDetails], None]
) -> UploadOutcome:
    """Upload one file and wait until it is indexed; a failure is its outcome, so that the next file gets its turn.

    Whoever leaves the page leaves the file: it is indexed all the same.
    """
    try:
        failed = page.client.upload(base, file, override=override, wait=False)
        if failed:
            return UploadOutcome(file.name, next(iter(failed.values())))
        record = _settled(page.client, base, file.name, show)
    except ChatchatError as failure:
        return UploadOutcome(file.name, sentence_of(failure, page.texts))
    if record is None or record.state == "cancelled":
        return UploadOutcome(file.name, page.texts("state.cancelled"))
    return UploadOutcome(file.name, record.failure)


def _settled(client: ChatchatClient, base: str, name: str, show: Callable[[FileDetails], None]) -> FileDetails | None:
    """The file's record when it is no longer being indexed; None when it is gone."""
    stored = unicodedata.normalize("NFC", name)  # as the API names it
    while True:
        record = next((file for file in client.files(base) if file.name == stored), None)
        if record is None or record.state != "pending":
            return record
        show(record)
        time.sleep(_POLL_SECONDS)


def _show_outcomes(outcomes: Sequence[UploadOutcome], texts: Texts) -> None:
    good = sum(outcome.failure is None for outcome in outcomes)
    if good:
        st.success(plain(texts("uploads.good", count=good)), icon=":material/check_circle:")
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    if failed:
        st.warning(plain(texts("uploads.failed", count=len(failed))), icon=":material/warning:")
        st.table(
            {
                plain(texts("column.file")): [plain(outcome.name) for outcome in failed],
                plain(texts("column.reason")): [plain(outcome.failure or "") for outcome in failed],
            },
            hide_index=True,
        )
