"""What stands on a slide of a .ppt, in order: titles, running text, footers, tables. The loader calls it."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from services.api.knowledge.loaders.legacy.powerpoint.records import Record, inner, walk
from services.api.knowledge.loaders.legacy.powerpoint.table import PlacedText, table_rows
from services.api.knowledge.loaders.legacy.story import TableRow

TITLE, BODY, NOTES, OTHER, CENTER_TITLE = 0, 1, 2, 4, 6
FOOTER = -1
_HEADER, _WIDE, _NARROW, _REFERENCE = 0x0F9F, 0x0FA0, 0x0FA8, 0x0F9E
_DRAWING, _GROUP, _SHAPE = 0x040C, 0xF003, 0xF004
_ANCHOR, _ANCHOR_BYTES = 0xF00F, 16
_PICTURE = 75
_SHAPE_ATOM, _OPTIONS, _MORE_OPTIONS = 0xF00A, 0xF00B, 0xF122
_TABLE, _TABLE_ROWS, _WORD_ART = 0x039F, 0x03A0, 0x00C0
_PLACEHOLDER = 0x0BC3
_FOOTER = 0x09
_FURNITURE = frozenset({0x07, 0x08, 0x0A})
"""Placeholders of the date, the slide's number and the header of a page of notes."""
_FIELD_ONLY = "*"
_COMPLEX, _CODE = 0x8000, 0x3FFF
_OPTION_BYTES = 6
_DEEPEST = 64


@dataclass(frozen=True, slots=True)
class Text:
    """A text and what it is: one of the kinds above; other numbers are running text."""

    text: str
    kind: int = OTHER


@dataclass(slots=True)
class Page:
    """What a slide or a page of notes holds."""

    pieces: list[Text | list[TableRow]]
    pictures: int = 0


@dataclass(frozen=True, slots=True)
class _Shape:
    text: Text
    anchor: tuple[int, int, int, int] | None = None
    is_picture: bool = False


def listed_texts(stream: bytes, listed: Sequence[Record]) -> list[Text]:
    """The texts of a slide's entry in the list of slides; a header opens each."""
    found: list[Text] = []
    for record in listed:
        if record.kind == _HEADER:
            found.append(Text("", _number(stream, record, OTHER)))
        elif record.kind in {_WIDE, _NARROW} and found:
            found[-1] = replace(found[-1], text=found[-1].text + _decoded(stream, record))
    return found


def read_page(stream: bytes, slide: Record | None, listed: Sequence[Text] = ()) -> Page:
    """Read the shapes of a slide. Texts of the list that no shape refers to come last."""
    page = Page([])
    used: set[int] = set()
    for item in _items(stream, slide) if slide is not None else ():
        if item.kind == _GROUP:
            cells = [_shape(stream, cell, listed, used) for cell in inner(stream, item) if cell.kind == _SHAPE]
            page.pieces.append(table_rows([PlacedText(cell.text.text, *cell.anchor) for cell in cells if cell.anchor]))
            continue
        shape = _shape(stream, item, listed, used)
        page.pictures += shape.is_picture
        if shape.text.text:
            page.pieces.append(shape.text)
    page.pieces.extend(text for number, text in enumerate(listed) if number not in used)
    return page


def _items(stream: bytes, slide: Record) -> Iterator[Record]:
    """Shapes and tables of a slide; other groups are entered."""
    stack = [iter([drawing for drawing in inner(stream, slide) if drawing.kind == _DRAWING])]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
        elif found.kind == _SHAPE or (found.kind == _GROUP and _is_table(stream, found)):
            yield found
        elif len(stack) < _DEEPEST:
            stack.append(inner(stream, found))


def _is_table(stream: bytes, group: Record) -> bool:
    """A table is a group whose first shape, which stands for the group itself, says so."""
    first = next(inner(stream, group), None)
    if first is None:
        return False
    options = [option for record in inner(stream, first) for option in _options(stream, record)]
    return any(code in {_TABLE, _TABLE_ROWS} and value for code, value, _ in options)


def _shape(stream: bytes, shape: Record, listed: Sequence[Text], used: set[int]) -> _Shape:
    parts: dict[int, Record] = {}
    for record in walk(stream, shape):
        parts.setdefault(record.kind, record)
    anchor = parts.get(_ANCHOR)
    atom = parts.get(_SHAPE_ATOM)
    return _Shape(
        _own_text(stream, parts, listed, used),
        _placed(stream, anchor) if anchor is not None else None,
        is_picture=atom is not None and atom.instance == _PICTURE,
    )


def _own_text(stream: bytes, parts: dict[int, Record], listed: Sequence[Text], used: set[int]) -> Text:
    """The text in a shape, or the one in the list of slides it refers to, or that of a WordArt."""
    reference = _number(stream, parts.get(_REFERENCE), -1)
    if 0 <= reference < len(listed):
        is_first = reference not in used
        used.add(reference)
        return listed[reference] if is_first else Text("")
    placeholder = parts.get(_PLACEHOLDER)
    role = stream[placeholder.start + 4] if placeholder is not None and placeholder.end >= placeholder.start + 5 else 0
    content = parts.get(_WIDE) or parts.get(_NARROW)
    text = _decoded(stream, content) if content is not None else _word_art(stream, parts.get(_OPTIONS))
    if role in _FURNITURE or text.strip() == _FIELD_ONLY:
        return Text("")
    return Text(text, FOOTER if role == _FOOTER else _number(stream, parts.get(_HEADER), OTHER))


def _word_art(stream: bytes, record: Record | None) -> str:
    options = _options(stream, record) if record is not None else ()
    found = next((long for code, _, long in options if code == _WORD_ART), b"")
    return found.decode("utf-16-le", "replace").rstrip("\0")


def _options(stream: bytes, record: Record) -> Iterator[tuple[int, int, bytes]]:
    """Code, value and long value of a shape's options; the long values follow the list, in its order."""
    if record.kind not in {_OPTIONS, _MORE_OPTIONS}:
        return
    count = min(record.instance, (record.end - record.start) // _OPTION_BYTES)
    at = record.start + count * _OPTION_BYTES
    for code, value in struct.iter_unpack("<HI", stream[record.start : at]):
        long = stream[at : min(at + value, record.end)] if code & _COMPLEX else b""
        at += len(long)
        yield code & _CODE, value, long


def _placed(stream: bytes, anchor: Record) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom."""
    if anchor.end - anchor.start < _ANCHOR_BYTES:
        return None
    left, top, right, bottom = struct.unpack_from("<4i", stream, anchor.start)
    return left, top, right, bottom


def _number(stream: bytes, record: Record | None, otherwise: int) -> int:
    if record is None or record.end - record.start < 4:
        return otherwise
    return int.from_bytes(stream[record.start : record.start + 4], "little")


def _decoded(stream: bytes, record: Record) -> str:
    raw = stream[record.start : record.end]
    return raw.decode("utf-16-le", "replace") if record.kind == _WIDE else raw.decode("latin-1")
