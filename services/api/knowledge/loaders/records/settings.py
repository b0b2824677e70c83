"""Settings files (TOML, INI, properties): read as they are written, comments kept; `[section]` lines are headings."""

from __future__ import annotations

import re
from typing import ClassVar

from services.api.domain.knowledge import Document, Place, Section, SourceFile
from services.api.knowledge.loaders.code import code_sections
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.encodings import read_text
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.records.tree import below

_SECTION = re.compile(r"\s{0,20}(\[{1,2})\s*([^\[\]\n]{1,200}?)\s*\]{1,2}\s*(?:[#;].*)?$")
_KEYS = re.compile(r"\"([^\"]{1,100})\"|'([^']{1,100})'|([^.\s\"']{1,100})")
_ESCAPED = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_FENCES = ('"""', "'''")


class SettingsLoader:
    """Reads .toml, .ini, .cfg and .properties."""

    extensions: ClassVar[frozenset[str]] = frozenset({".cfg", ".ini", ".properties", ".toml"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            require_text(file)
            text, warnings = read_text(file)
            if file.name.extension in {".properties", ".toml"}:
                text = _ESCAPED.sub(_unescaped, text)
            return document(file, _sections(text, is_toml=file.name.extension == ".toml"), warnings)


def _unescaped(found: re.Match[str]) -> str:
    """Java writes Chinese as four hex digits each, and a character beyond the first plane as two such escapes."""
    units = bytes.fromhex(found[0].replace("\\u", ""))
    return units.decode("utf-16-be", "replace")


def _sections(text: str, *, is_toml: bool) -> list[Section]:
    sections: list[Section] = []
    place, held, fence = Place(), list[str](), ""
    for line in text.splitlines():
        found = _SECTION.match(line) if not fence else None
        if found:
            sections += code_sections("\n".join(held), place)
            place, held = _place(found[2], is_toml=is_toml), []
        held.append(line)
        fence = _open_fence(line, fence) if is_toml else ""
    return [*sections, *code_sections("\n".join(held), place)]


def _place(title: str, *, is_toml: bool) -> Place:
    keys = ["".join(parts) for parts in _KEYS.findall(title)] if is_toml else [title]
    place = Place()
    for key in keys:
        place = below(place, key)
    return place


def _open_fence(line: str, fence: str) -> str:
    """The quotes of a text of several lines that is still open after this line."""
    marks = (fence,) if fence else _FENCES
    for mark in marks:
        if line.count(mark) % 2:
            return "" if fence else mark
    return fence
