"""What .eml and .msg share: the header lines as a section, and which of a body's alternatives is read."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.knowledge.loaders.reading.nested import below, read_as, reason_of
from services.api.knowledge.loaders.reading.outline import Outline
from services.foundation.errors import EmptyFile, UnreadableFile

_RICHER = 1.3
_KINDS = {
    "application/msword": ".doc",
    "application/pdf": ".pdf",
    "application/rtf": ".rtf",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.ms-outlook": ".msg",
    "application/vnd.ms-powerpoint": ".ppt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/xhtml+xml": ".html",
    "application/x-zip-compressed": ".zip",
    "application/zip": ".zip",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/tiff": ".tiff",
    "message/rfc822": ".eml",
    "multipart/signed": ".eml",  # Outlook keeps a signed message so, as smime.p7m
    "text/csv": ".csv",
    "text/html": ".html",
    "text/markdown": ".md",
    "text/plain": ".txt",
}


def kind_of(content_type: str) -> str:
    """The extension of files of a MIME type, or an empty string."""
    return _KINDS.get(content_type.lower(), "")


def letter(subject: str, lines: Iterable[tuple[str, str]], rest: Sequence[Section]) -> list[Section]:
    """A message's sections: the subject as a heading, the filled header lines below it, then the rest."""
    outline = Outline()
    outline.heading(1, subject)
    outline.paragraph("\n".join(f"{name}: {value}" for name, value in lines if value))
    head = outline.finish()
    title = next(iter(head[0].place.heading), "") if head else ""
    return [*head, *below(title, rest)]


def read_plain(file: SourceFile, text: str) -> Document:
    """A body of running text."""
    return _read(file, ".txt", codecs.BOM_UTF8 + text.encode("utf-8", "replace"))


def read_page(file: SourceFile, markup: str | bytes) -> Document:
    """A body of HTML; as bytes when only the page itself can say its charset."""
    content = markup if isinstance(markup, bytes) else codecs.BOM_UTF8 + markup.encode("utf-8", "replace")
    return _read(file, ".html", content)


def read_rtf(file: SourceFile, content: bytes) -> Document:
    """A body of RTF."""
    return _read(file, ".rtf", content)


def mentions(markup: str | bytes, content_id: str) -> bool:
    """Whether a page shows the part with a content id where its text goes."""
    reference = f"cid:{content_id.strip('<> ')}"
    if reference == "cid:":
        return False
    return reference.encode("utf-8", "replace") in markup if isinstance(markup, bytes) else reference in markup


def richer(plain: Document, page: Document) -> Document:
    """Of two versions of one body the HTML one if it says more (the other is a stub) or holds a table, else the text.

    Text is preferred because it has no layout tables, hidden teasers and tracking.
    """
    has_table = any(section.whole for section in page.sections)
    return page if page.sections and (has_table or _amount(page) > _amount(plain) * _RICHER) else plain


def _amount(body: Document) -> int:
    return sum(len("".join(section.text.split())) for section in body.sections)


def _read(file: SourceFile, kind: str, content: bytes) -> Document:
    try:
        return read_as(file, kind, content)
    except EmptyFile:
        return Document(())
    except UnreadableFile as failure:
        return Document((), (f"the body was not read: {reason_of(failure)}",))
