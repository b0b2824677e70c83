"""Plain text: paragraphs are sections; Chinese numbered titles (第一章, 一、) give the heading path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.knowledge.loaders.reading.blocks import text_blocks
from services.api.knowledge.loaders.reading.cleaning import clean, is_cjk, join_lines
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.encodings import detect, open_text
from services.api.knowledge.loaders.reading.failures import check_size, reading
from services.api.knowledge.loaders.reading.outline import Outline, numbered_level
from services.api.knowledge.loaders.reading.streams import Steps, joined, stated

_PARAGRAPH = re.compile(r"\n{2,}")
_WRAP_CHARS = (50, 130)
_FULL_SHARE = 0.7


class PlainLoader:
    """Reads .txt."""

    extensions: ClassVar[frozenset[str]] = frozenset({".txt"})

    def load(self, file: SourceFile) -> Document:
        return joined(file, self.parts(file))

    def parts(self, file: SourceFile) -> Iterator[Document]:
        with reading(file):
            check_size(file)
            require_text(file)
            encoding = detect(file)
            with open_text(file, encoding) as handle:
                yield from stated(file, _sections(Steps(file).over(text_blocks(handle))), encoding.warnings)


def _sections(blocks: Iterator[str]) -> Iterator[Section]:
    outline = Outline()
    for block in blocks:
        for paragraph in _PARAGRAPH.split(clean(block)):
            _add(outline, paragraph)
        yield from outline.taken()
    yield from outline.finish()


def _add(outline: Outline, paragraph: str) -> None:
    held: list[str] = []
    for line in _unwrapped(paragraph.split("\n")):
        level = numbered_level(line)
        if level is None:
            held.append(line)
            continue
        outline.paragraph("\n".join(held))
        held = []
        outline.heading(level, line)
    outline.paragraph("\n".join(held))


def _unwrapped(lines: list[str]) -> Iterator[str]:
    """One line, if a Latin paragraph was broken at the width of a page or a terminal; else the lines as they are."""
    longest = max(map(len, lines))
    wrapped = (
        len(lines) > 1
        and _WRAP_CHARS[0] <= longest <= _WRAP_CHARS[1]
        and all(len(line) >= longest * _FULL_SHARE for line in lines[:-1])
        and not is_cjk(lines[0][-1:] or " ")
    )
    if wrapped:
        yield join_lines(lines)
    else:
        yield from lines
