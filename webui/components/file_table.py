"""The table of a base's files, and what can be done with the selected ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

import streamlit as st

from services.wire.chatchat import FileDetails
from webui.components.failures import boundary
from webui.components.file_summary import show_summary
from webui.i18n import Texts
from webui.markdown import plain
from webui.page import Page

_MARKS = {"indexed": "✓ ", "failed": "✗ "}
_REMARKS_SHOWN = 100
_UNITS = ("B", "KB", "MB", "GB")


def show_files(base: str, files: Sequence[FileDetails], page: Page) -> None:
    """Draw the table and its actions."""
    texts = page.texts
    if not files:
        st.info(plain(texts("files.none")), icon=":material/upload_file:")
        return
    columns = {
        name: texts(f"column.{name}") for name in ("file", "state", "size", "chunks", "modified", "source", "remarks")
    }
    shown = st.dataframe(
        {
            columns["file"]: [file.name for file in files],
            columns["state"]: [state_of(file, texts) for file in files],
            columns["size"]: [size_of(file.size_bytes) for file in files],
            columns["chunks"]: [file.chunk_count for file in files],
            columns["modified"]: [file.modified_at[:16].replace("T", " ") for file in files],
            columns["source"]: [page.client.download_url(base, file.name) for file in files],
            columns["remarks"]: [remarks_of(file, texts) for file in files],
        },
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key=_selection_key(base, files),
        column_config={
            columns["remarks"]: st.column_config.TextColumn(width="medium"),
            columns["source"]: st.column_config.LinkColumn(display_text=texts("files.download")),
        },
    )
    chosen = [files[row] for row in shown.selection.rows if row < len(files)]
    if chosen:
        _actions(base, chosen, page)
        if len(chosen) == 1:
            show_summary(base, chosen[0], page)
    else:
        st.caption(plain(texts("files.select")))
    _remarks(files, texts)


def _selection_key(base: str, files: Sequence[FileDetails]) -> str:
    """Rows are selected by number: with other files, the selection must be another one."""
    return f"files-{crc32('/'.join((base, *(file.name for file in files))).encode())}"


def _remarks(files: Sequence[FileDetails], texts: Texts) -> None:
    """The remarks in full: a cell of the table cuts them."""
    remarked = [file for file in files if remarks_of(file, texts)]
    if remarked:
        with st.expander(plain(texts("files.remarks", count=len(remarked)))):
            for file in remarked[:_REMARKS_SHOWN]:
                st.markdown(f"**{plain(file.name)}** {plain(remarks_of(file, texts))}")


def _actions(base: str, files: Sequence[FileDetails], page: Page) -> None:
    texts, client = page.texts, page.client
    chosen = [file.name for file in files]
    pending = [file.name for file in files if file.state == "pending"]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(plain(texts("files.chosen", count=len(chosen))))
        if st.button(plain(texts("files.reindex")), key="reindex", icon=":material/refresh:"):
            with st.spinner(plain(texts("files.reindexing"))):
                _report(lambda: client.reindex(base, chosen), page)
        if pending and st.button(plain(texts("files.cancel")), key="cancel-indexing", icon=":material/block:"):
            _report(lambda: client.cancel_indexing(base, pending), page)
        if st.button(plain(texts("files.delete")), key="delete-files", icon=":material/delete:"):
            _confirm(base, chosen, page)


def _report(act: Callable[[], dict[str, str]], page: Page) -> None:
    """Act; stay on the page with the sentences of what failed, or draw it anew."""
    with boundary(page.texts):
        failed = act()
        if not failed:
            st.rerun()
        for name, sentence in failed.items():
            st.error(plain(f"{name}: {sentence}"), icon=":material/error:")


def _confirm(base: str, chosen: Sequence[str], page: Page) -> None:
    texts = page.texts

    @st.dialog(plain(texts("files.delete")))
    def ask() -> None:
        st.markdown(plain(texts("files.confirm", count=len(chosen), base=base)))
        for name in chosen[:10]:
            st.caption(plain(name))
        if st.button(plain(texts("files.delete_now")), key="delete-files-now", type="primary"):
            _report(lambda: page.client.delete_files(base, chosen), page)

    ask()


def state_of(file: FileDetails, texts: Texts) -> str:
    """A file's state in words, and how far it has got; a state we do not know is named as it is."""
    key = f"state.{file.stage or file.state}"
    said = f"{_MARKS.get(file.state, '')}{texts(key) if key in texts else file.state}"
    if not file.progress_done:
        return said
    of = "" if file.progress_total is None else f" / {file.progress_total}"
    return f"{said} {file.progress_done}{of}"


def remarks_of(file: FileDetails, texts: Texts) -> str:
    """Why the file is not searchable, what was not read of it, and which other files are like it."""
    copy = texts("files.duplicate", file=file.duplicate_of) if file.duplicate_of else None
    similar = texts("files.similar", files=", ".join(file.similar_to)) if file.similar_to else None
    return " ".join(part for part in (file.failure, *file.warnings, copy, similar) if part)


def size_of(size_bytes: int) -> str:
    """A size as people read it."""
    size, unit = float(size_bytes), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 100 else f"{size:.1f} {_UNITS[unit]}"
