"""ChineseRecursiveTextSplitter, the default of 0.2.10."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.api.domain.knowledge import Passage
from services.api.knowledge.splitters.recursive import RecursiveSplitter
from services.api.knowledge.splitters.sized import Run
from services.api.knowledge.splitters.tables import Room

_NEWLINES = re.compile(r"\n{2,}")


class ChineseRecursiveTextSplitter(RecursiveSplitter):
    """Cuts at the largest separator that makes it fit, Chinese ones among them; runs of newlines become one.

    As in 0.2.10, the text of a place is one text. There, sizes counted tokens of the chat model where its tokenizer was
    at hand, and a run without separators stayed longer than asked for.
    """

    def cut(self, run: Run, room: Room) -> Iterator[Passage]:
        for piece in self.pieces(run.text, room):
            yield Passage(_NEWLINES.sub("\n", piece), run.place)
