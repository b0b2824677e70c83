"""The default splitter: whole sentences packed into passages, headings and pages respected, tables cut between rows."""

from __future__ import annotations

from collections.abc import Iterator

from services.api.domain.knowledge import Passage
from services.api.knowledge.splitters.packing import Packer, Piece
from services.api.knowledge.splitters.pieces import bounded, bounded_lines
from services.api.knowledge.splitters.sized import Run, SizedSplitter
from services.api.knowledge.splitters.structure import with_lists
from services.api.knowledge.splitters.tables import Room, cut_table, is_table


class SentenceSplitter(SizedSplitter):
    """Packs whole sentences up to `chunk_chars` and repeats up to `overlap_chars` of whole sentences.

    Passages never span two pages, sheets, headings or table row groups. A list or a block of code is kept whole if it
    fits into a passage, else it is cut between lines; a table is cut between rows.
    """

    def cut(self, run: Run, room: Room) -> Iterator[Passage]:
        packer = Packer(room, self.sizes.overlap)
        for section in with_lists(run.sections):
            if section.whole and room.measure.width(section.text) <= room.limit:
                packed = packer.add(Piece(f"{section.text}\n", overlaps=False))
                yield from (Passage(text, run.place) for text in packed)
            elif is_table(section):
                above = packer.take_short()
                yield from (Passage(text, run.place) for text in packer.rest())
                yield from cut_table(section, room, above)
            else:
                cut = bounded_lines if section.whole else bounded
                for piece in cut(f"{section.text}\n", room.limit, room.measure):
                    packed = packer.add(Piece(piece, overlaps=True))
                    yield from (Passage(text, run.place) for text in packed)
        yield from (Passage(text, run.place) for text in packer.rest())
