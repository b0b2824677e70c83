"""A Word document's stories as paragraphs and table rows: field codes and hidden text left out, cells in their rows."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from services.api.knowledge.loaders.legacy.story import Block, Paragraph, RowCell, TableRow
from services.api.knowledge.loaders.legacy.word.header import Header
from services.api.knowledge.loaders.legacy.word.pieces import PiecedText
from services.api.knowledge.loaders.legacy.word.properties import (
    Pool,
    Runs,
    character_entry,
    modifiers,
    paragraph_entry,
    runs,
)
from services.api.knowledge.loaders.legacy.word.styles import Style, is_listed, outline_level, styles

_CELL = "\x07"
_PICTURES = ("\x01", "\x08")
_PARAGRAPH = re.compile("([^\r\x07\x0c]*)([\r\x07\x0c]|$)")
_FIELD = re.compile("[\x13-\x15]")
_HIDEABLE = re.compile("[^\r\x07]")
_SPECIAL = str.maketrans({"\x1e": "-", "\x1f": None, "\x0e": "\n", "\x13": None, "\x14": None, "\x15": None})
_SURROGATE = re.compile("[\ud800-\udfff]")
_HIDDEN, _DELETED, _SYMBOL = 0x083C, 0x0800, 0x6A09
_IN_TABLE, _ENDS_ROW, _TABLE = 0x2416, 0x2417, 0xD608
_MERGED, _MERGED_BELOW, _MERGED_FROM_HERE = 0x0002, 0x0020, 0x0040
_CELL_BYTES = 20


@dataclass(frozen=True, slots=True)
class _Properties:
    style: int = 0
    level: int | None = None
    is_listed: bool | None = None
    in_table: bool = False
    ends_row: bool = False
    shape: bytes = b""


class Stories:
    """The text of a document and what its paragraphs are."""

    def __init__(self, main: bytes, tables: bytes, pool: Pool, header: Header) -> None:
        self._header = header
        self._styles = styles(_slice(tables, header.styles))
        self._text = PiecedText(main, tables, header)
        self._properties = runs(
            main, _slice(tables, header.paragraphs), paragraph_entry, lambda entry: _paragraph_properties(entry, pool)
        )
        unseen = runs(main, _slice(tables, header.characters), character_entry, _is_unseen)
        self._visible = _visible(_without_field_codes(self._text.characters), self._text, unseen)

    @property
    def pictures(self) -> int:
        """How many pictures and embedded objects the visible text has."""
        return sum(map(self._visible.count, _PICTURES))

    def blocks(self, story: str) -> Iterator[Block]:
        """The paragraphs and table rows of a story."""
        start = 0
        for name, length in self._header.lengths.items():
            if name == story:
                yield from self._blocks(start, min(start + length, len(self._visible)))
            start += length

    def _blocks(self, start: int, end: int) -> Iterator[Block]:
        row = _Row()
        for found in _PARAGRAPH.finditer(self._visible, start, end):
            if not found[0]:
                continue
            text, mark = _readable(found[1]), found[2]
            properties = self._properties.at(self._text.offset_of(found.end() - 1)) or _Properties()
            if mark == _CELL or properties.in_table:
                if properties.ends_row or (not self._header.is_modern and row.is_ended_by(text, mark)):
                    yield from row.taken(properties.shape)
                else:
                    row.add(text, is_end=mark == _CELL)
                continue
            yield from row.taken(b"")
            yield self._paragraph(text, properties)
        yield from row.taken(b"")

    def _paragraph(self, text: str, properties: _Properties) -> Paragraph:
        style = self._styles.get(properties.style, Style())
        level = properties.level if properties.level is not None else style.level
        listed = style.is_listed if properties.is_listed is None else properties.is_listed
        return Paragraph(text, level, is_item=listed)


class _Row:
    """The cells of the row that is being read."""

    def __init__(self) -> None:
        self._cells: list[str] = []
        self._lines: list[str] = []

    def add(self, text: str, *, is_end: bool) -> None:
        self._lines.append(text)
        if is_end:
            self._cells.append("\n".join(self._lines))
            self._lines = []

    def is_ended_by(self, text: str, mark: str) -> bool:
        """Whether a row ends here, where the format does not say: an empty cell after others."""
        return mark == _CELL and not text and not self._lines and bool(self._cells)

    def taken(self, shape: bytes) -> Iterator[TableRow]:
        """The row, if there is one, and begin anew."""
        texts = [*self._cells, "\n".join(self._lines)] if self._lines else self._cells
        self._cells, self._lines = [], []
        if texts:
            yield TableRow(tuple(_shaped(texts, shape)))


def _shaped(texts: list[str], shape: bytes) -> Iterator[RowCell]:
    """The cells with the edges and merges of the row's definition; those merged into their left neighbour go."""
    count = min(shape[0], len(texts)) if shape else 0
    edges = struct.unpack_from(f"<{count + 1}h", shape, 1) if len(shape) >= 3 + 2 * count else ()
    if len(edges) != len(texts) + 1:
        yield from map(RowCell, texts)
        return
    flags = [_flags(shape, number) for number in range(count)]
    for number, text in enumerate(texts):
        if number and flags[number] & _MERGED:
            continue
        last = number
        while last + 1 < count and flags[last + 1] & _MERGED:
            last += 1
        is_below = bool(flags[number] & _MERGED_BELOW) and not flags[number] & _MERGED_FROM_HERE
        yield RowCell(text, edges[number], edges[last + 1], is_below=is_below)


def _flags(shape: bytes, number: int) -> int:
    at = 3 + 2 * shape[0] + _CELL_BYTES * number
    return int.from_bytes(shape[at : at + 2], "little")


def _paragraph_properties(entry: bytes, pool: Pool) -> _Properties | None:
    if len(entry) < 2:
        return None
    level: int | None = None
    listed: bool | None = None
    in_table = ends_row = False
    shape = b""
    for modifier in pool.unfolded(modifiers(entry[2:])):
        level = outline_level(modifier, level)
        listed = is_listed(modifier, found=listed)
        in_table = bool(modifier.number) if modifier.code == _IN_TABLE else in_table
        ends_row = bool(modifier.number) if modifier.code == _ENDS_ROW else ends_row
        shape = modifier.operand if modifier.code == _TABLE else shape
    return _Properties(int.from_bytes(entry[:2], "little"), level, listed, in_table, ends_row, shape)


def _is_unseen(entry: bytes) -> bool | None:
    """True for hidden or deleted text, and for a symbol, whose character only stands in for a picture of a font."""
    unseen = any(
        modifier.code == _SYMBOL or (modifier.code in {_HIDDEN, _DELETED} and modifier.number == 1)
        for modifier in modifiers(entry)
    )
    return unseen or None


def _without_field_codes(text: str) -> str:
    """Blank out what is between a field's begin and its separator or end; a field that never ends is left alone."""
    begun: list[int] = []
    separated: dict[int, int] = {}
    codes: list[tuple[int, int]] = []
    for found in _FIELD.finditer(text):
        match found[0]:
            case "\x13":
                begun.append(found.start())
            case "\x14" if begun:
                separated.setdefault(begun[-1], found.start())
            case "\x15" if begun:
                start = begun.pop()
                codes.append((start, separated.get(start, found.start())))
    return _blanked(text, codes)


def _visible(text: str, pieced: PiecedText, unseen: Runs[bool]) -> str:
    return _blanked(text, list(pieced.spans_of(unseen)))


def _blanked(text: str, spans: list[tuple[int, int]]) -> str:
    """The text, as long as before, with spans made of characters that cleaning takes away."""
    parts: list[str] = []
    done = 0
    for start, end in sorted(spans):
        if end <= done:
            continue
        parts.append(text[done : max(start, done)])
        parts.append(_HIDEABLE.sub("\0", text[max(start, done) : end]))
        done = end
    return "".join([*parts, text[done:]])


def _readable(text: str) -> str:
    text = text.replace("\0", "").translate(_SPECIAL)
    if _SURROGATE.search(text):
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _slice(stream: bytes, part: tuple[int, int]) -> bytes:
    return stream[part[0] : part[0] + part[1]]
