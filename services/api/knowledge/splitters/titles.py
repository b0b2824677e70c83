"""The option title_enhance: passages below a short numbered title say so, as zh_title_enhance of 0.2.10 made them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from services.api.domain.knowledge import Passage

_LONGEST = 20
_ENDS_IN_MARK = re.compile(r"[^\w\s]\Z")
_EARLY = 5


class Bound(Protocol):
    """Says which passages fit the embedder."""

    def fits(self, passages: Sequence[Passage]) -> list[bool]: ...


def enhanced(passages: Sequence[Passage], window: Bound | None) -> list[Passage]:
    """The passages of one file in order, those after a title with 下文与(<title>)有关。 before their text.

    `chunk_chars` does not count the addition, but the embedder's window does: it is left out where it does not fit.
    """
    told = list(_told(passages))
    fits = [True] * len(told) if window is None else window.fits(told)
    return [new if fit else old for old, new, fit in zip(passages, told, fits, strict=True)]


def _told(passages: Iterable[Passage]) -> Iterator[Passage]:
    title = ""
    for passage in passages:
        if is_title(passage.text):
            title = passage.text
            yield passage
        else:
            yield replace(passage, text=f"下文与({title})有关。{passage.text}") if title else passage


def is_title(text: str) -> bool:
    """Whether a passage looks like a numbered title.

    It does not end in a mark, has at most 20 characters, at least half of those that show are letters, and one of its
    first five is a digit.
    """
    if not text or len(text) > _LONGEST or _ENDS_IN_MARK.search(text) or text.isnumeric():
        return False
    shown = [character for character in text if not character.isspace()]
    letters = sum(character.isalpha() for character in shown)
    return letters * 2 >= len(shown) and any(character.isnumeric() for character in text[:_EARLY])
