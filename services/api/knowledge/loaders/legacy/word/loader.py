"""The loader for .doc: the body, then text boxes, notes, comments, page headers, each under its title."""

from __future__ import annotations

from typing import ClassVar

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.knowledge.loaders.legacy.container import open_container
from services.api.knowledge.loaders.legacy.disguised import load_as, real_extension
from services.api.knowledge.loaders.legacy.story import aside_sections, story_sections
from services.api.knowledge.loaders.legacy.word.header import Header
from services.api.knowledge.loaders.legacy.word.paragraphs import Stories
from services.api.knowledge.loaders.legacy.word.properties import Pool
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.foundation.errors import EncryptedFile, UnreadableFile

_MAIN, _POOL = "WordDocument", "Data"
_ASIDE = {
    "footnotes": "Footnotes",
    "endnotes": "Endnotes",
    "comments": "Comments",
    "edges": "Page headers and footers",
    "edge_boxes": "Page headers and footers",
}


class WordLoader:
    """Reads .doc, from Word 6 on."""

    extensions: ClassVar[frozenset[str]] = frozenset({".doc"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            extension = real_extension(file, "a Word document")
            if extension != ".doc":
                return load_as(extension, file)
            sections, warnings = _read(file)
            empty = f"{warnings[0]}; there is no other text in it" if warnings else ""
            return document(file, sections, warnings, empty=empty)


def _read(file: SourceFile) -> tuple[list[Section], list[str]]:
    with open_container(file) as container:
        main = container.content(_MAIN)
        header = Header.of(main)
        if header is None:
            raise UnreadableFile(file=file.name.value, reason="its text is damaged or of a version before Word 6")
        if header.is_encrypted:
            raise EncryptedFile(file=file.name.value)
        stories = Stories(main, container.content(header.table_name), Pool(container.content(_POOL)), header)
    sections = story_sections([*stories.blocks("body"), *stories.blocks("boxes")])
    for story, title in _ASIDE.items():
        sections.extend(aside_sections(title, stories.blocks(story)))
    unread = f"text inside pictures and embedded objects was not read; the document holds {stories.pictures} of them"
    return sections, [unread] if stories.pictures else []
