"""How long a text is, in the unit of `chunk_chars`: a Chinese character is one, any other character a third."""

from __future__ import annotations

import re
from collections.abc import Iterable

THIRDS = 3
"""Widths are whole numbers: thirds of a Chinese character."""

_WIDE = re.compile(
    "[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\U00020000-\U0003fffd]"
)


def width(text: str) -> int:
    """The text's width in thirds."""
    return len(text) + (THIRDS - 1) * len(_WIDE.findall(text)) if not text.isascii() else len(text)


def cut_at(text: str, limit: int, start: int = 0) -> int:
    """The end of the longest run from `start` that is no wider than `limit`; at least one character."""
    used = 0
    for index in range(start, len(text)):
        used += THIRDS if _WIDE.match(text, index) else 1
        if used > limit:
            return max(index, start + 1)
    return len(text)


class Measure:
    """What splitters ask for sizes: here, of characters alone. `window.fitting` has one that sees tokens as well."""

    def prepare(self, texts: Iterable[str]) -> None:
        """Be told what will be asked about, so that it can be measured at once."""

    def width(self, text: str) -> int:
        """As `width`."""
        return width(text)

    def cut_at(self, text: str, limit: int, start: int = 0) -> int:
        """As `cut_at`."""
        return cut_at(text, limit, start)


CHARACTERS = Measure()
