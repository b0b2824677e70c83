"""The loader for .rtf: the body, then text boxes, notes, comments, page headers, each under its title."""

from __future__ import annotations

from typing import ClassVar

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.knowledge.loaders.legacy.disguised import load_as, real_extension
from services.api.knowledge.loaders.legacy.rtf.reader import RtfReader
from services.api.knowledge.loaders.legacy.story import aside_sections, story_sections
from services.api.knowledge.loaders.reading.failures import check_size, document, reading

_ASIDE = {"footnotes": "Footnotes", "comments": "Comments", "edges": "Page headers and footers"}


class RtfLoader:
    """Reads .rtf."""

    extensions: ClassVar[frozenset[str]] = frozenset({".rtf"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            extension = real_extension(file, "an RTF document")
            if extension != ".rtf":
                return load_as(extension, file)
            sections, warnings = _read(file)
            empty = f"{warnings[0]}; there is no other text in it" if warnings else ""
            return document(file, sections, warnings, empty=empty)


def _read(file: SourceFile) -> tuple[list[Section], list[str]]:
    reader = RtfReader()
    reader.read(file.path.read_bytes())
    sections = story_sections([*reader.stories["body"].finished(), *reader.stories["boxes"].finished()])
    for story, title in _ASIDE.items():
        sections.extend(aside_sections(title, reader.stories[story].finished()))
    unread = f"text inside pictures was not read; the document holds {reader.pictures} of them"
    return sections, [unread] if reader.pictures else []
