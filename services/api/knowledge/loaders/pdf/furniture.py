"""What repeats at the edges of most pages: page numbers go, a running title becomes the outermost heading."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_EDGE_LINES = 2
_LEAST_PAGES = 3
_SHARE = 0.4
_TITLE_CHARS = 80
_TITLE_LETTERS = 4
_PAGE_NUMBER = re.compile(
    r"(?i)[-–—·\s|]{0,5}(?:第\s{0,3}\d{1,5}\s{0,3}页(?:\s{0,3}[,，/共]{0,3}\s{0,3}\d{1,5}\s{0,3}页)?"
    r"|(?:page|p\.)\s{0,3}\d{1,5}(?:\s{0,3}(?:of|/)\s{0,3}\d{1,5})?|\d{1,5}(?:\s{0,3}/\s{0,3}\d{1,5})?)[-–—·\s|]{0,5}"
)
_NUMBER_AT_EDGE = re.compile(r"^\d{1,5}\s+|\s+\d{1,5}$")


class Furniture:
    """The repeated lines of one file."""

    def __init__(self, repeated: Counter[str], *, has_page_numbers: bool) -> None:
        self._repeated = set(repeated)
        self._seen: set[str] = set()
        self._has_page_numbers = has_page_numbers
        self.title = _title(repeated)

    @classmethod
    def of(cls, pages: Sequence[Sequence[str]]) -> Furniture:
        """Compare the first and last lines of all pages."""
        found: Counter[str] = Counter()
        numbered = 0
        for lines in pages:
            edge = [*lines[:_EDGE_LINES], *lines[max(len(lines) - _EDGE_LINES, _EDGE_LINES) :]]
            found.update({_key(line) for line in edge} | set(edge))
            numbered += any(map(_PAGE_NUMBER.fullmatch, edge))
        least = max(_LEAST_PAGES, _SHARE * len(pages))
        repeated = Counter({line: count for line, count in found.items() if line and count >= least})
        return cls(repeated, has_page_numbers=numbered >= max(2, _SHARE * len(pages)))

    def holds(self, line: str) -> bool:
        """Whether a line is furniture, not text."""
        if self._has_page_numbers and _PAGE_NUMBER.fullmatch(line):
            return True
        return line in self._repeated or _key(line) in self._repeated

    def first_time(self, line: str) -> bool:
        """Whether repeated furniture is met for the first time: it is kept once, so that nothing is lost."""
        key = _key(line)
        is_new = key in self._repeated and key not in self._seen
        self._seen.add(key)
        return is_new


def _key(line: str) -> str:
    return "" if _PAGE_NUMBER.fullmatch(line) else _NUMBER_AT_EDGE.sub("", line)


def _title(repeated: Counter[str]) -> str:
    for line in sorted(repeated, key=lambda line: (repeated[line], len(line)), reverse=True):
        if len(line) <= _TITLE_CHARS and sum(map(str.isalpha, line)) >= _TITLE_LETTERS:
            return line
    return ""
