"""RecursiveCharacterTextSplitter of 0.2.10's table: LangChain's, with its own separators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from services.api.domain.knowledge import Passage
from services.api.knowledge.splitters.recursive import RecursiveSplitter
from services.api.knowledge.splitters.sized import Run
from services.api.knowledge.splitters.tables import Room


class RecursiveCharacterTextSplitter(RecursiveSplitter):
    """Cuts at blank lines, else at line ends, else at spaces, else anywhere, as LangChain's class of that name.

    0.2.10 counted tokens of cl100k_base, which tiktoken downloads; here a Chinese character counts one and any other a
    third, which is about as many.
    """

    separators: ClassVar[tuple[str, ...]] = (r"\n\n", r"\n", " ", "")
    keeps: ClassVar[Literal["start", "end"]] = "start"

    def cut(self, run: Run, room: Room) -> Iterator[Passage]:
        return (Passage(piece, run.place) for piece in self.pieces(run.text, room))
