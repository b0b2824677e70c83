"""From a passage's text to its sentences: prose in Chinese and English, table rows, list items, `name: value` lines."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass

_HAN = "\u3400-\u9fff\uf900-\ufaff"
_CLOSING = "”’」』）》】\"')\\]"
_CHINESE_END = re.compile(f"[。！？；…]+[{_CLOSING}]*")
_ENGLISH_END = re.compile(rf"[.!?]+[{_CLOSING}]*(?=\s+[\"'“‘(\[]?[A-Z0-9{_HAN}]|\s*$)|[!?]+(?=[{_HAN}])")
_INITIAL = re.compile(r"(?:^|[(\"'“.])[A-Z]\.$")
_DOTTED = re.compile(r"^[(\"'“]?(?:[A-Za-z]\.){2,}$")
_STARTERS = re.compile(r"(?:The|It|He|She|They|In|On|At|This|These|That|However|But|A|An|After|When|We)\b")
# fmt: off
_ABBREVIATIONS = frozenset((
    "mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "gen", "col", "lt", "sgt", "capt", "rev", "hon", "gov", "sen",
    "rep", "pres", "mt", "ft", "no", "nos", "vol", "fig", "figs", "eq", "sec", "ch", "p", "pp", "vs", "v", "etc",
    "al", "cf", "eg", "ie", "viz", "approx", "est", "dept", "univ", "inc", "ltd", "co", "corp", "bros", "ave", "blvd",
    "rd", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "mon", "tue", "wed",
    "thu", "fri", "sat", "sun", "ca", "c", "b", "d", "r", "art", "arts",
))
# fmt: on
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_BULLET = re.compile(
    r"^\s*(?:[-*+•●○▪◦·]|\(?\d{1,3}[.)、）](?!\d)|[(（][一二三四五六七八九十\d]+[)）]|[一二三四五六七八九十]+、)\s*(?=\S)"
)
_PAIR = re.compile(r"^[^:：。，,;；?!？！]{1,24}[:：]\s*\S")
_RULE_ROW = re.compile(r"^\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)*\|?\s*$")
_WRAPPED_CHARS = 15
_WORD_CHARS = 40


class Shape(enum.Enum):
    """How a sentence stood in its passage."""

    PROSE = "prose"
    HEADING = "heading"
    ITEM = "item"
    ROW = "row"


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, list item, or table row; a row is written as `column: value` pairs when its header is known."""

    text: str
    shape: Shape = Shape.PROSE

    @property
    def is_open(self) -> bool:
        """Whether it stands without an end mark, as titles do."""
        return self.shape is Shape.PROSE and self.text[-1:].isalnum()


def split(text: str) -> list[Sentence]:
    """The sentences of a passage in reading order."""
    found: list[Sentence] = []
    table: list[list[str]] = []
    has_header = False
    for line in _joined_lines(text):
        if line.lstrip().startswith("|"):
            if _RULE_ROW.match(line):
                has_header = len(table) == 1
            else:
                table.append(_cells(line))
            continue
        found.extend(_rows(table, has_header=has_header))
        table, has_header = [], False
        found.extend(_of_line(line))
    found.extend(_rows(table, has_header=has_header))
    return [sentence for sentence in found if any(char.isalnum() for char in sentence.text)]


def _of_line(line: str) -> Iterator[Sentence]:
    heading = _HEADING.match(line)
    if heading:
        yield Sentence(heading.group(1), Shape.HEADING)
        return
    bullet = _BULLET.match(line)
    marker = bullet.group().strip() if bullet else ""
    rest = line[bullet.end() :] if bullet else line
    shape = Shape.ITEM if bullet or _PAIR.match(line) else Shape.PROSE
    numbered = any(char.isalnum() for char in marker)
    for place, text in enumerate(prose(rest.strip(" >\t"))):
        yield Sentence(f"{marker} {text}" if numbered and place == 0 else text, shape)


def _joined_lines(text: str) -> Iterator[str]:
    """The passage's lines, those that a page's width had broken joined again."""
    held = ""
    for raw in text.splitlines():
        line = raw.rstrip()
        alone = not line.strip() or line.lstrip()[:1] in "|#>" or _BULLET.match(line) or _PAIR.match(line.strip())
        if held and not alone and _is_broken(held):
            held += line.strip() if _is_wide(held[-1]) or _is_wide(line.strip()[0]) else " " + line.strip()
            continue
        if held:
            yield held
        held = line if line.strip() else ""
    if held:
        yield held


def _is_broken(line: str) -> bool:
    if line.lstrip()[:1] in "|#" or len(line) < _WRAPPED_CHARS:
        return False
    return not re.search(f"[。！？；….!?;:：][{_CLOSING}]*$", line)


def _is_wide(char: str) -> bool:
    return ord(char) >= 0x2E80


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _rows(table: list[list[str]], *, has_header: bool) -> Iterator[Sentence]:
    header = table[0] if has_header else []
    for cells in table[1:] if has_header and len(table) > 1 else table:
        if header and len(header) == len(cells) and cells is not header:
            pairs = [f"{name}: {cell}" if name else cell for name, cell in zip(header, cells, strict=True) if cell]
        else:
            pairs = [cell for cell in cells if cell]
        wide = any(_is_wide(char) for pair in pairs for char in pair)
        yield Sentence(("；" if wide else "; ").join(pairs), Shape.ROW)


def prose(text: str) -> list[str]:
    """Split running text; abbreviations, initials and decimals do not end a sentence."""
    ends = {match.end() for match in _CHINESE_END.finditer(text)}
    ends.update(match.end() for match in _ENGLISH_END.finditer(text) if _is_end(text, match))
    found, start = [], 0
    for end in sorted(ends | {len(text)}):
        sentence = text[start:end].strip()
        if sentence:
            found.append(sentence)
        start = end
    return found


def _is_end(text: str, match: re.Match[str]) -> bool:
    if not match.group().startswith(".") or match.group().startswith(".."):
        return True
    if not text[match.end() : match.end() + _WORD_CHARS].strip():
        return True
    before = text[max(0, match.start() - _WORD_CHARS) : match.start() + 1].split()
    word = before[-1] if before else ""
    rest = text[match.end() : match.end() + _WORD_CHARS].lstrip(" \t\n\"'“‘(")
    if _DOTTED.match(word):
        return bool(_STARTERS.match(rest))
    if _INITIAL.search(word):
        return False
    return word.strip("(\"'“[.").lower() not in _ABBREVIATIONS or (
        word[:1].islower() and rest[:1].isupper() and word in {"etc.", "al."}
    )
