"""Fills passages with pieces of text up to a limit. Used by the splitters that pack sentences or paragraphs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.api.knowledge.splitters.tables import Room


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence, or a whole section that fits; `overlaps` when it may be repeated at the head of the next passage."""

    text: str
    overlaps: bool


@dataclass(frozen=True, slots=True)
class _Held:
    piece: Piece
    width: int


class Packer:
    """Fills passages; a full one is handed out, and its last sentences open the next.

    Args:
        room: of a passage.
        overlap: width of what two neighbours may share.
    """

    def __init__(self, room: Room, overlap: int) -> None:
        self._room = room
        self._overlap = overlap
        self._held: list[_Held] = []
        self._width = 0
        self._repeated = 0

    def add(self, piece: Piece) -> Iterator[str]:
        """Take a piece; gives what is full without it."""
        width = self._room.measure.width
        own = width(piece.text.rstrip())
        if self._held and self._width + own > self._room.limit:
            if len(self._held) > self._repeated:
                yield self._text()
            self._keep_overlap(own)
        held = _Held(piece, width(piece.text))
        self._held.append(held)
        self._width += held.width

    def rest(self) -> Iterator[str]:
        """What is held; nothing when it was all handed out before."""
        if len(self._held) > self._repeated and self._text():
            yield self._text()
        self._held, self._width, self._repeated = [], 0, 0

    def take_short(self) -> str:
        """What is held, taken away, if it is short enough to stand above a table; else nothing."""
        if len(self._held) <= self._repeated or self._width > self._room.limit // 3:
            return ""
        text = self._text()
        self._held, self._width, self._repeated = [], 0, 0
        return text

    def _text(self) -> str:
        return "".join(held.piece.text for held in self._held).strip()

    def _keep_overlap(self, next_width: int) -> None:
        room = min(self._overlap, self._room.limit - next_width)
        kept: list[_Held] = []
        used = 0
        for held in reversed(self._held):
            if not held.piece.overlaps or used + held.width > room:
                break
            kept.insert(0, held)
            used += held.width
        self._held, self._width, self._repeated = kept, used, len(kept)
