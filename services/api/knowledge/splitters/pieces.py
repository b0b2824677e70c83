"""Text → sentences, and a sentence too long → clauses, words, bare runs. Linear in the text's length."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.api.knowledge.splitters.measure import CHARACTERS, Measure

_HAN = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_CLOSING = "\"'”’」』）)\\]】》〉"
# Possessive repeats and the look-behind keep runs of marks from being tried again from each of their characters.
_END = re.compile(
    f"[。！？…｡]++[。！？…!?]*+[{_CLOSING}]*+"
    f"|(?<![.!?])[.!?]++[{_CLOSING}]*+(?=\\s|$)"
    f"|(?<![.!?])[!?]++[{_CLOSING}]*+(?=[{_HAN}])"
    "|\n"
)
_CLAUSE = re.compile("[，；、：,;:]+")
_SPACE = re.compile(r"\s+")
_WORD_BEFORE = re.compile(r"([^\s(\[\"'“]{1,12})\.$")
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+",
        "mr mrs ms dr prof st jr sr vs etc e.g i.e cf al fig eq no nos vol pp p ed eds inc ltd co corp dept approx "
        "jan feb mar apr jun jul aug sep sept oct nov dec u.s u.k ph.d sec ch ref figs",
    )
)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text with the white space that follows each; joined they are the text."""
    start = 0
    for end in _END.finditer(text):
        if end[0] == "\n" or not _is_abbreviation(text, start, end.end()):
            stop = _after_spaces(text, end.end())
            if stop > start:
                yield text[start:stop]
                start = stop
    if start < len(text):
        yield text[start:]


def _after_spaces(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _is_abbreviation(text: str, start: int, end: int) -> bool:
    if text[end - 1] != ".":
        return False
    word = _WORD_BEFORE.search(text[max(start, end - 14) : end])
    if word is None:
        return False
    before = word[1]
    is_initial = len(before) == 1 and before.isalpha() and before.isupper() and before.isascii()
    is_number = before.isdigit() and end - len(before) - 1 == start
    return is_initial or is_number or before.lower() in _ABBREVIATIONS


def shortened(sentence: str, limit: int, measure: Measure = CHARACTERS) -> Iterator[str]:
    """A sentence in parts no wider than `limit`: cut after clause marks, else at spaces, else anywhere."""
    start = 0
    while start < len(sentence):
        stop = measure.cut_at(sentence, limit, start)
        if stop < len(sentence):
            stop = _best_cut(sentence, start, stop)
        yield sentence[start:stop]
        start = stop


def _best_cut(sentence: str, start: int, stop: int) -> int:
    """The last clause mark in the second half of the run, else the last space there, else its end."""
    middle = (start + stop) // 2
    for pattern in (_CLAUSE, _SPACE):
        ends = [found.end() for found in pattern.finditer(sentence, middle, stop)]
        if ends:
            return ends[-1]
    return stop


def bounded(text: str, limit: int, measure: Measure = CHARACTERS) -> Iterator[str]:
    """Sentences no wider than `limit`, in order; joined they are the text."""
    found = list(sentences(text))
    measure.prepare(sentence.rstrip() for sentence in found)
    for sentence in found:
        if measure.width(sentence.rstrip()) <= limit:
            yield sentence
        else:
            yield from shortened(sentence, limit, measure)


def bounded_lines(text: str, limit: int, measure: Measure = CHARACTERS) -> Iterator[str]:
    """Lines with their ends, of one that is wider than `limit` its sentences, in order; joined they are the text."""
    lines = text.splitlines(keepends=True)
    measure.prepare(line.rstrip() for line in lines)
    for line in lines:
        if measure.width(line.rstrip()) <= limit:
            yield line
        else:
            yield from bounded(line, limit, measure)
