"""AliTextSplitter of 0.2.10's table: whole paragraphs. There, a model of ModelScope found where the subject changes."""

from __future__ import annotations

from collections.abc import Iterator

from services.api.domain.knowledge import Passage, Section
from services.api.knowledge.splitters.packing import Packer, Piece
from services.api.knowledge.splitters.pieces import bounded, bounded_lines
from services.api.knowledge.splitters.sized import Run, SizedSplitter
from services.api.knowledge.splitters.tables import Room, cut_table, is_table


class AliTextSplitter(SizedSplitter):
    """Packs whole paragraphs, tables and blocks of code; neighbours share nothing.

    0.2.10 asked the model nlp_bert_document-segmentation_chinese-base, downloaded and run on the CPU, and its segments
    were of any length. Here the document's own structure says where a subject ends: headings, pages, paragraphs. A
    paragraph is cut, between sentences, only if it alone is too long.
    """

    def cut(self, run: Run, room: Room) -> Iterator[Passage]:
        packer = Packer(room, 0)
        for section in run.sections:
            fits = room.measure.width(section.text) <= room.limit
            if is_table(section) and not fits:
                yield from (Passage(text, run.place) for text in packer.rest())
                yield from cut_table(section, room)
            else:
                for text in [f"{section.text}\n"] if fits else _parts(section, room):
                    packed = packer.add(Piece(text, overlaps=False))
                    yield from (Passage(each, run.place) for each in packed)
        yield from (Passage(text, run.place) for text in packer.rest())


def _parts(section: Section, room: Room) -> Iterator[str]:
    cut = bounded_lines if section.whole else bounded
    return cut(f"{section.text}\n", room.limit, room.measure)
