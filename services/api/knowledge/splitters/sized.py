"""What all splitters of the shelf have in common: their options, and that no passage is longer than it may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import TypedDict, Unpack

from services.api.domain.knowledge import Document, Passage, Place, Section
from services.api.knowledge.splitters.measure import CHARACTERS, THIRDS, Measure
from services.api.knowledge.splitters.tables import Room
from services.api.knowledge.splitters.titles import enhanced
from services.api.knowledge.splitters.window.fitting import Window, window_of


class SizeOptions(TypedDict, total=False):
    """The options of every splitter, as `Sizes` describes them."""

    chunk_chars: int
    overlap_chars: int
    tokenizer: str | None
    window_tokens: int | None
    title_enhance: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How long passages are.

    Attributes:
        chunk_chars: longest passage. A Chinese character counts one and any other character a third, so that 250 are
            about 250 hanzi or 750 Latin characters, which take about as many tokens.
        overlap_chars: what two neighbours share at most, counted likewise; never more than half of a passage.
        tokenizer: tokenizer.json (or vocab.txt) of the embedder; None: tokens are estimated, on the safe side.
        window_tokens: most tokens the embedder reads of one text, those it adds itself included. A passage with its
            heading path never has more, whatever `chunk_chars` says; None: not known, characters alone count.
        title_enhance: put 下文与(<title>)有关。 before what follows a short numbered title (0.2.10: zh_title_enhance).
    """

    chunk_chars: int = 250
    overlap_chars: int = 50
    tokenizer: str | None = None
    window_tokens: int | None = None
    title_enhance: bool = False

    @property
    def limit(self) -> int:
        """Widest passage, in thirds of a Chinese character."""
        return self.chunk_chars * THIRDS

    @property
    def overlap(self) -> int:
        """Width of what neighbours share, in thirds."""
        return min(self.overlap_chars, self.chunk_chars // 2) * THIRDS


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring sections of one place."""

    place: Place
    sections: Sequence[Section]

    @property
    def text(self) -> str:
        """All of it, with a blank line between sections."""
        return "\n\n".join(section.text for section in self.sections)


class SizedSplitter:
    """A splitter whose passages fit the embedder's window. A variant says in `cut` how a run is cut.

    Runs are cut by characters first; those of which a passage does not fit are cut again with tokens in view, so that
    a text within the window has the passages it would have without one.
    """

    def __init__(self, **options: Unpack[SizeOptions]) -> None:
        self.sizes = Sizes(**options)

    def cut(self, run: Run, room: Room) -> Iterable[Passage]:
        """The passages of a run, none wider than the room. For variants to say."""
        raise NotImplementedError

    def outlined(self, sections: Sequence[Section]) -> Sequence[Section]:
        """The sections, with what the variant itself finds out about their places."""
        return sections

    def split(self, document: Document) -> list[Passage]:
        window = window_of(self.sizes.tokenizer, self.sizes.window_tokens)
        sections = self.outlined(document.sections)
        if window is not None:
            sections = window.with_short_headings(sections)
        runs = [Run(place, list(found)) for place, found in groupby(sections, key=lambda section: section.place)]
        cut = [list(self.cut(run, self._room(CHARACTERS))) for run in runs]
        if window is not None:
            cut = list(self._within(window, runs, cut))
        passages = list(chain.from_iterable(cut))
        return enhanced(passages, window) if self.sizes.title_enhance else passages

    def _within(self, window: Window, runs: list[Run], cut: list[list[Passage]]) -> Iterator[list[Passage]]:
        """The passages of each run; where one has too many tokens, the run's are cut again."""
        fits = iter(window.fits(list(chain.from_iterable(cut))))
        for run, passages in zip(runs, cut, strict=True):
            if all(list(islice(fits, len(passages)))):
                yield passages
            else:
                again = self.cut(run, self._room(window.measure(run.place, self.sizes.limit)))
                yield window.forced(list(again), self.sizes.limit)

    def _room(self, measure: Measure) -> Room:
        return Room(self.sizes.limit, measure)
