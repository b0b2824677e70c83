"""MarkdownHeaderTextSplitter of 0.2.10's table: what stands below one header together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from services.api.domain.knowledge import Place, Section
from services.api.knowledge.splitters.sentences import SentenceSplitter

_HEADER = re.compile(r"(#{1,4})[ \t]+(\S.*)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_TITLE_CHARS = 80


class MarkdownHeaderTextSplitter(SentenceSplitter):
    """Cuts at Markdown headers of the levels 1 to 4, which become the heading path; the rest as the default splitter.

    Headers are found in the text itself too, below those that the loader found: a text file may hold Markdown. In
    0.2.10 the header lines were taken out of the text and sizes were ignored; here they stay, and sizes hold.
    """

    def outlined(self, sections: Sequence[Section]) -> list[Section]:
        found: list[Section] = []
        path = _Path(Place())
        for section in sections:
            if section.place != path.place:
                path = _Path(section.place)
            found += [section] if section.whole else path.parts(section)
        return found


class _Path:
    """The headers above a line, within neighbouring sections of one place."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._headers: dict[int, str] = {}
        self._fence = ""

    def parts(self, section: Section) -> Iterator[Section]:
        """The section, cut before each header; each part with its path."""
        held: list[str] = []
        for line in section.text.split("\n"):
            header = None if self._is_fenced(line) else _HEADER.fullmatch(line.rstrip())
            if header is not None:
                yield from self._part(held)
                held = []
                level = len(header[1])
                self._headers = {above: title for above, title in self._headers.items() if above < level}
                self._headers[level] = header[2].strip("# \t")[:_TITLE_CHARS]
            held.append(line)
        yield from self._part(held)

    def _part(self, lines: Sequence[str]) -> Iterator[Section]:
        text = "\n".join(lines)
        if text.strip():
            titles = (title for title in self._headers.values() if title)
            yield Section(text, replace(self.place, heading=(*self.place.heading, *titles)))

    def _is_fenced(self, line: str) -> bool:
        """Whether a line stands inside a block of code, whose comments may look like headers."""
        mark = _FENCE.match(line)
        if mark is None:
            return bool(self._fence)
        if not self._fence:
            self._fence = mark[1]
        elif mark[1].startswith(self._fence):
            self._fence = ""
        return True
