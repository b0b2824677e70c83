"""SpacyTextSplitter of 0.2.10's table: sentences, with a blank line between them."""

from __future__ import annotations

from collections.abc import Iterator

from services.api.domain.knowledge import Passage
from services.api.knowledge.splitters.packing import Packer, Piece
from services.api.knowledge.splitters.pieces import bounded
from services.api.knowledge.splitters.sized import Run, SizedSplitter
from services.api.knowledge.splitters.tables import Room


class SpacyTextSplitter(SizedSplitter):
    """Packs sentences, a blank line between them as LangChain's does, and repeats whole ones.

    Sentences are told by the rules of the default splitter: spaCy and its model zh_core_web_sm are not installed and
    would have to be downloaded. 0.2.10 counted GPT-2's tokens.
    """

    def cut(self, run: Run, room: Room) -> Iterator[Passage]:
        packer = Packer(room, self.sizes.overlap)
        for section in run.sections:
            for text in bounded(section.text, room.limit, room.measure):
                if text.strip():
                    packed = packer.add(Piece(f"{text.strip()}\n\n", overlaps=True))
                    yield from (Passage(each, run.place) for each in packed)
        yield from (Passage(each, run.place) for each in packer.rest())
