"""The plain recursive splitter with Chinese separators, a section at a time: for those who compare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from langchain_text_splitters import RecursiveCharacterTextSplitter

from services.api.domain.knowledge import Passage
from services.api.knowledge.splitters.sized import Run, SizedSplitter
from services.api.knowledge.splitters.tables import Room


class RecursiveSplitter(SizedSplitter):
    """Cuts each section at the largest separator that makes it fit. Sections are not joined, tables are as any text.

    Attributes:
        separators: patterns, the largest first. Those of Langchain-Chatchat 0.2.10, and then anywhere: there, a run
            without any of them stayed too long.
        keeps: which of the two pieces a separator goes with.
    """

    separators: ClassVar[tuple[str, ...]] = (r"\n\n", r"\n", "[。！？]", r"[.!?]\s", r"；|;\s", r"，|,\s", "")
    keeps: ClassVar[Literal["start", "end"]] = "end"

    def cut(self, run: Run, room: Room) -> Iterator[Passage]:
        for section in run.sections:
            yield from (Passage(text, run.place) for text in self.pieces(section.text, room))

    def pieces(self, text: str, room: Room) -> Iterator[str]:
        """The text in pieces that fit the room."""
        splitter = RecursiveCharacterTextSplitter(
            separators=list(self.separators),
            is_separator_regex=True,
            keep_separator=self.keeps,
            chunk_size=room.limit,
            chunk_overlap=self.sizes.overlap,
            length_function=room.measure.width,
        )
        return (piece.strip() for piece in splitter.split_text(text) if piece.strip())
