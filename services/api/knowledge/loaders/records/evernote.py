"""Evernote exports: each note under its title with its dates and tags; attachments are not read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from lxml.etree import _Element as Element

from services.api.domain.knowledge import Document, SourceFile
from services.api.knowledge.loaders.html import parsed, read_body
from services.api.knowledge.loaders.markup.xml_tree import parse_xml
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.encodings import read_text
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.outline import Outline
from services.foundation.errors import EmptyFile

_BYTES = re.compile(r"<(data|recognition|alternate-data)\b[^>]{0,200}>[^<]*(?:<!\[CDATA\[.*?\]\]>\s*)?</\1>", re.DOTALL)
_PROLOGUE = re.compile(r"^\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!DOCTYPE[^>]{0,300}>)?")
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})\d{2}Z")


class EvernoteLoader:
    """Reads .enex."""

    extensions: ClassVar[frozenset[str]] = frozenset({".enex"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            require_text(file)
            text, warnings = read_text(file)
            if not text.strip("\ufeff \t\r\n"):
                raise EmptyFile(file=file.name.value, reason="there is nothing in it but white space")
            # An attachment may be larger than the longest text the parser takes.
            tree = parse_xml(file, _BYTES.sub("", text))
            notes = list(tree.root.iter("note"))
            outline = Outline()
            for number, note in enumerate(notes, start=1):
                _add(outline, note)
                file.report(number, len(notes))
            attached = [_name(resource) for note in notes for resource in note.iter("resource")]
            unread = (f"attachments were not read: {', '.join(attached)}",) if attached else ()
            return document(file, outline.finish(), (*warnings, *tree.warnings, *unread), empty="no note is in it")


def _add(outline: Outline, note: Element) -> None:
    outline.heading(0, note.findtext("title") or "")
    outline.paragraph("\n".join(_facts(note)))
    content = _PROLOGUE.sub("", note.findtext("content") or "", count=1)
    if content.strip():
        read_body(parsed(content), outline)


def _facts(note: Element) -> Iterator[str]:
    for name in ("created", "updated"):
        found = _DATE.match(note.findtext(name) or "")
        if found:
            yield f"{name}: {found[1]}-{found[2]}-{found[3]} {found[4]}:{found[5]} UTC"
    tags = ", ".join(tag.text for tag in note.iter("tag") if tag.text)
    if tags:
        yield f"tags: {tags}"
    for name in ("author", "source-url"):
        value = note.findtext(f"note-attributes/{name}")
        if value:
            yield f"{name}: {value}"


def _name(resource: Element) -> str:
    name = resource.findtext("resource-attributes/file-name") or resource.findtext("mime")
    return name or "one without a name"
