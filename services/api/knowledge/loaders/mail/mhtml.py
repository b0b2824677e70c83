"""Web pages saved as one file (RFC 2557): the page itself through the HTML loader; pictures and styles are left out."""

from __future__ import annotations

from typing import ClassVar

from services.api.domain.knowledge import Document, SourceFile
from services.api.knowledge.loaders.mail.letter import read_page
from services.api.knowledge.loaders.mail.message import Mail, charset_of, content_of, leaves, parse
from services.api.knowledge.loaders.reading.charsets import text_of
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.foundation.errors import UnreadableFile

_PAGES = frozenset({"text/html", "application/xhtml+xml"})


class MhtmlLoader:
    """Reads .mhtml and .mht."""

    extensions: ClassVar[frozenset[str]] = frozenset({".mhtml", ".mht"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            require_text(file)
            message = parse(file)
            pages = [part for part, _ in leaves(message) if part.get_content_type() in _PAGES]
            if not pages:
                raise UnreadableFile(file=file.name.value, reason="it holds no web page")
            return _read(file, _root_first(message, pages))


def _read(file: SourceFile, pages: list[Mail]) -> Document:
    """The first page that has text: the root of a frameset has none of its own."""
    unread = len(pages)
    for part in pages:
        unread -= 1
        found = _page(file, part)
        if found.sections:
            frames = [f"{unread} framed pages (advertisements, widgets) were not read"] if unread else []
            return document(file, found.sections, [*found.warnings, *frames])
    return document(file, ())


def _page(file: SourceFile, part: Mail) -> Document:
    content, charset = content_of(part), charset_of(part)
    if not charset:
        return read_page(file, content)
    text, warnings = text_of(content, charset)
    found = read_page(file, text)
    return Document(found.sections, (*warnings, *found.warnings))


def _root_first(message: Mail, pages: list[Mail]) -> list[Mail]:
    """The pages, the one that the package names as its root first."""
    start = str(message.get_param("start", "") or "").strip("<> ")
    location = str(message.get("snapshot-content-location") or message.get("content-location") or "").strip()
    return sorted(pages, key=lambda part: not _is_root(part, start, location))


def _is_root(part: Mail, start: str, location: str) -> bool:
    if start:
        return str(part.get("content-id", "")).strip("<> ") == start
    return bool(location) and str(part.get("content-location", "")).strip() == location
