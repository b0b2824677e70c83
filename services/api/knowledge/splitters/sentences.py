"""The default splitter: whole sentences packed into passages, headings and pages respected, tables cut between rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from services.api.domain.knowledge import Document, Passage, Place, Section
from services.api.knowledge.splitters.measure import THIRDS, width
from services.api.knowledge.splitters.pieces import bounded
from services.api.knowledge.splitters.tables import cut_table, is_table


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sentence, or a whole section that fits; `overlaps` when it may be repeated at the head of the next passage."""

    text: str
    width: int
    overlaps: bool


class SentenceSplitter:
    """Packs whole sentences up to `chunk_chars` and repeats up to `overlap_chars` of whole sentences.

    A Chinese character counts one and any other character a third, so that 250 are about 250 hanzi or 750 Latin
    characters, which take about as many tokens. Passages never span two pages, sheets, headings or table row groups.
    """

    def __init__(self, *, chunk_chars: int = 250, overlap_chars: int = 50) -> None:
        self._limit = chunk_chars * THIRDS
        self._overlap = min(overlap_chars, chunk_chars // 2) * THIRDS

    def split(self, document: Document) -> list[Passage]:
        passages: list[Passage] = []
        for place, run in groupby(document.sections, key=lambda section: section.place):
            passages.extend(self._run(place, list(run)))
        return passages

    def _run(self, place: Place, sections: Sequence[Section]) -> Iterator[Passage]:
        """The passages of neighbouring sections of one place."""
        packer = _Packer(self._limit, self._overlap)
        for section in sections:
            if section.whole and width(section.text) <= self._limit:
                packed = packer.add(_Piece(f"{section.text}\n", width(section.text) + 1, overlaps=False))
                yield from (Passage(text, place) for text in packed)
            elif is_table(section):
                above = packer.take_short()
                yield from (Passage(text, place) for text in packer.rest())
                yield from cut_table(section, self._limit, above)
            else:
                for text in bounded(f"{section.text}\n", self._limit):
                    piece = _Piece(text, width(text), overlaps=True)
                    yield from (Passage(packed, place) for packed in packer.add(piece))
        yield from (Passage(text, place) for text in packer.rest())


class _Packer:
    """Fills passages; a full one is handed out, and its last sentences open the next."""

    def __init__(self, limit: int, overlap: int) -> None:
        self._limit = limit
        self._overlap = overlap
        self._held: list[_Piece] = []
        self._width = 0
        self._repeated = 0

    def add(self, piece: _Piece) -> Iterator[str]:
        if self._held and self._width + width(piece.text.rstrip()) > self._limit:
            if len(self._held) > self._repeated:
                yield self._text()
            self._keep_overlap(width(piece.text.rstrip()))
        self._held.append(piece)
        self._width += piece.width

    def rest(self) -> Iterator[str]:
        """What is held; nothing when it was all handed out before."""
        if len(self._held) > self._repeated and self._text():
            yield self._text()
        self._held, self._width, self._repeated = [], 0, 0

    def take_short(self) -> str:
        """What is held, taken away, if it is short enough to stand above a table; else nothing."""
        if len(self._held) <= self._repeated or self._width > self._limit // 3:
            return ""
        text = self._text()
        self._held, self._width, self._repeated = [], 0, 0
        return text

    def _text(self) -> str:
        return "".join(piece.text for piece in self._held).strip()

    def _keep_overlap(self, next_width: int) -> None:
        room = min(self._overlap, self._limit - next_width)
        kept: list[_Piece] = []
        used = 0
        for piece in reversed(self._held):
            if not piece.overlaps or used + piece.width > room:
                break
            kept.insert(0, piece)
            used += piece.width
        self._held, self._width, self._repeated = kept, used, len(kept)
