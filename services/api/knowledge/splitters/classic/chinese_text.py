"""ChineseTextSplitter of 0.2.10's table: every sentence by itself."""

from __future__ import annotations

from collections.abc import Iterator

from services.api.domain.knowledge import Passage
from services.api.knowledge.splitters.pieces import bounded
from services.api.knowledge.splitters.sized import Run, SizedSplitter
from services.api.knowledge.splitters.tables import Room


class ChineseTextSplitter(SizedSplitter):
    """Makes each sentence a passage; one too long is cut after clauses, else at spaces. Neighbours share nothing.

    Sentences are told by the rules of the default splitter: 0.2.10 also cut after a semicolon, and inside `3.5`.
    """

    def cut(self, run: Run, room: Room) -> Iterator[Passage]:
        for section in run.sections:
            for text in bounded(section.text, room.limit, room.measure):
                if text.strip():
                    yield Passage(text.strip(), run.place)
