"""Uploading files into a base: one request a file, so that the progress shown is real."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from services.clients.chatchat import ChatchatClient, FileToUpload
from services.foundation.errors import ChatchatError
from webui.components.failures import sentence_of
from webui.i18n import Texts
from webui.markdown import plain
from webui.page import Page
from webui.state import UploadOutcome, current


def show_uploads(base: str, page: Page) -> None:
    """Draw the uploader and what became of the last upload."""
    session, texts = current(), page.texts
    files = st.file_uploader(
        plain(texts("uploads.choose")),
        type=[extension.lstrip(".") for extension in page.client.supported_extensions()],
        accept_multiple_files=True,
        key=f"uploader-{session.upload_round}",
        max_upload_size=page.upload_limit_mib,
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
    progress = st.progress(0.0)
    for position, file in enumerate(files):
        said = page.texts("uploads.progress", position=position + 1, count=len(files), file=file.name)
        progress.progress(position / len(files), text=plain(said))
        outcome = upload_one(page.client, base, FileToUpload(file.name, file), page.texts, override=override)
        current().uploads.append(outcome)


def upload_one(client: ChatchatClient, base: str, file: FileToUpload, texts: Texts, *, override: bool) -> UploadOutcome:
    """Upload one file; a failure is its outcome, so that the next file gets its turn."""
    try:
        failed = client.upload(base, file, override=override)
    except ChatchatError as failure:
        return UploadOutcome(file.name, sentence_of(failure, texts))
    # The API may name the file in another Unicode form; there is only one.
    return UploadOutcome(file.name, next(iter(failed.values()), None))


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
