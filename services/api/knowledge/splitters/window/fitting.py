"""Window: keeps passages, with the heading path that is indexed before them, within what the embedder reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from services.api.domain.knowledge import Passage, Place, Section, indexed_text
from services.api.knowledge.splitters.measure import Measure, cut_at, width
from services.api.knowledge.splitters.pieces import shortened
from services.api.knowledge.splitters.window.counting import SPECIAL_TOKENS, TokenCounter, counter_of, most_tokens

_SHARES = (8, 7, 6, 5, 4, 3, 2, 1)
"""Eighths of the window that are tried on a text which has more tokens cut apart than as a whole."""


def window_of(tokenizer: str | None, window_tokens: int | None) -> Window | None:
    """The window that a splitter's options describe; None when its size is not known."""
    return None if window_tokens is None else Window(tokenizer, window_tokens)


class Window:
    """What the embedder reads of one text. The tokenizer is read when there is a text that may not fit.

    Args:
        tokenizer: file of the embedder's tokenizer; None: tokens are estimated.
        tokens: most it reads, those it adds itself included.
    """

    def __init__(self, tokenizer: str | None, tokens: int) -> None:
        self._tokenizer = tokenizer
        self._tokens = tokens

    @cached_property
    def _counter(self) -> TokenCounter:
        return counter_of(self._tokenizer)

    @property
    def _room(self) -> int:
        return max(1, self._tokens - self._counter.special_tokens)

    def fits(self, passages: Sequence[Passage]) -> list[bool]:
        """Whether the embedder reads each passage to its end. Raises InvalidSetting for a tokenizer that is none."""
        texts = [passage.indexed_text for passage in passages]
        return [fits for _, fits in self._judged(texts, 1)]

    def with_short_headings(self, sections: Sequence[Section]) -> list[Section]:
        """The sections; a heading path that would take more than half of the window loses its outermost titles."""
        headings = {section.place.heading_path: section.place.heading for section in sections}
        short = {
            headings[path]: self._shortened(headings[path])
            for path, fits in self._judged(list(headings), 2)
            if not fits
        }
        return [replace(section, place=_with_heading(section.place, short)) for section in sections]

    def measure(self, place: Place, limit: int) -> TokenMeasure:
        """A measure for texts that stand in a place: the limit is reached with the limit of characters or of tokens."""
        heading = indexed_text("", place)
        return TokenMeasure(self._counter, self._room - self._counter.count([heading])[0], limit)

    def forced(self, passages: Sequence[Passage], limit: int) -> list[Passage]:
        """The passages, of one place; what still does not fit is cut anywhere.

        A text may have a few tokens more in its place than its parts have by themselves.
        """
        held = list(passages)
        for share in _SHARES:
            fits = self.fits(held)
            if all(fits):
                break
            smaller = self.measure(held[0].place, limit).reduced(share, _SHARES[0])
            held = [part for passage, fit in zip(held, fits, strict=True) for part in _parts(passage, fit, smaller)]
        return held

    def _judged(self, texts: Sequence[str], part: int) -> list[tuple[str, bool]]:
        """Each text with whether it has no more tokens than a part of the window; counted only if in doubt."""
        surely = (self._tokens - SPECIAL_TOKENS) // part
        long = [text for text in texts if most_tokens(text) > surely]
        counts = dict(zip(long, self._counter.count(long), strict=True)) if long else {}
        return [(text, text not in counts or counts[text] <= self._room // part) for text in texts]

    def _shortened(self, heading: tuple[str, ...]) -> tuple[str, ...]:
        room = self._room // 2
        for start in range(1, len(heading)):
            rest = heading[start:]
            if self._counter.count([" > ".join(rest)])[0] <= room:
                return rest
        last = heading[-1]
        while last and self._counter.count([f"{last}…"])[0] > room:
            last = last[: min(self._counter.reach(last, max(0, room - 1)), len(last) - 1)]
        return (f"{last}…",) if last else ()


class TokenMeasure(Measure):
    """Widths in which a text reaches `limit` when it has that many characters, or `tokens` tokens.

    Widths add up at least to that of the whole, so that what is packed by them fits.
    """

    def __init__(self, counter: TokenCounter, tokens: int, limit: int) -> None:
        self._counter = counter
        self._tokens = max(1, tokens)
        self.limit = limit
        self._known: dict[str, int] = {}

    def reduced(self, share: int, of: int) -> TokenMeasure:
        """The same with a part of the tokens."""
        return TokenMeasure(self._counter, self._tokens * share // of, self.limit)

    def prepare(self, texts: Iterable[str]) -> None:
        new = list({text: None for text in texts if text not in self._known})
        self._known.update(zip(new, self._counter.count(new), strict=True))

    def width(self, text: str) -> int:
        core = text.rstrip()
        tokens = self._of(core) + (self._of(text[len(core) :]) if len(core) < len(text) else 0)
        return max(width(text), -(-tokens * self.limit // self._tokens))

    def _of(self, text: str) -> int:
        if text not in self._known:
            self.prepare([text])
        return self._known[text]

    def cut_at(self, text: str, limit: int, start: int = 0) -> int:
        stop = cut_at(text, limit, start)
        reach = self._counter.reach(text[start:stop], limit * self._tokens // self.limit)
        return max(start + 1, min(stop, start + reach))


def _with_heading(place: Place, short: dict[tuple[str, ...], tuple[str, ...]]) -> Place:
    return replace(place, heading=short[place.heading]) if place.heading in short else place


def _parts(passage: Passage, fits: bool, measure: TokenMeasure) -> Iterator[Passage]:  # noqa: FBT001 - one of a pair
    if fits:
        yield passage
        return
    for text in shortened(passage.text, measure.limit, measure):
        if text.strip():
            yield replace(passage, text=text.strip())
