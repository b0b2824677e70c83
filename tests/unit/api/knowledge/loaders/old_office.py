"""Makes Word, PowerPoint and Excel files of the formats of 1997, as small as they can be."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from tests.unit.api.knowledge.loaders.compound import compound

_PAGE = 512
_TEXT_AT = 4 * _PAGE
IN_TABLE, ENDS_ROW = struct.pack("<HB", 0x2416, 1), struct.pack("<HB", 0x2417, 1)
HIDDEN = struct.pack("<HB", 0x083C, 1)
LISTED = struct.pack("<HH", 0x460B, 1)


@dataclass(frozen=True)
class Par:
    """A paragraph with its end mark."""

    text: str
    style: int = 0
    modifiers: bytes = b""
    characters: bytes = b""


def row(*cells: str, edges: Sequence[int] = (), flags: Sequence[int] = ()) -> list[Par]:
    """The paragraphs of a table row."""
    shape = b""
    if edges:
        packed = struct.pack(f"<B{len(edges)}h", len(cells), *edges)
        packed += b"".join(struct.pack("<H18x", flag) for flag in flags or [0] * len(cells))
        shape = struct.pack("<HH", 0xD608, len(packed) + 1) + packed
    return [*(Par(f"{cell}\x07", modifiers=IN_TABLE) for cell in cells), Par("\x07", 0, IN_TABLE + ENDS_ROW + shape)]


def word(
    paragraphs: Sequence[Par], *, footnotes: str = "", narrow: int = 0, flags: int = 0, sheet: bytes = b""
) -> bytes:
    """A Word document. The first `narrow` paragraphs are kept as bytes in cp1252, the rest as UTF-16."""
    everything = [*paragraphs, *([Par(footnotes)] if footnotes else [])]
    text = b""
    borders, characters, pieces = [_TEXT_AT], 0, []
    for number, paragraph in enumerate(everything):
        coded = paragraph.text.encode("cp1252" if number < narrow else "utf-16-le")
        length = len(coded) if number < narrow else len(coded) // 2
        at = _TEXT_AT + len(text)
        pieces.append((characters, at * 2 | 0x40000000 if number < narrow else at))
        characters += length
        text += coded
        borders.append(at + len(coded))
    body = characters - len(footnotes.encode("utf-16-le")) // 2
    papx = _page(borders, [struct.pack("<H", one.style) + one.modifiers for one in everything], is_paragraph=True)
    chpx = _page(borders, [one.characters for one in everything], is_paragraph=False)
    clx = _clx(pieces, characters)
    index = struct.pack("<III", borders[0], borders[-1], 2)
    tables = clx + index + struct.pack("<III", borders[0], borders[-1], 3) + sheet
    pointers = {33: (0, len(clx)), 13: (len(clx), 12), 12: (len(clx) + 12, 12), 1: (len(clx) + 24, len(sheet))}
    head = _word_head(flags, body, characters - body, pointers).ljust(2 * _PAGE, b"\0")
    return compound({"WordDocument": head + papx + chpx + text, "1Table": tables})


def old_word(text: str, encoding: str, language: int) -> bytes:
    """A document of Word 95: text in a code page, no tables."""
    coded = text.encode(encoding)
    head = struct.pack("<6H", 0xA5DC, 104, 0, language, 0, 0).ljust(0x18, b"\0")
    head += struct.pack("<II", _TEXT_AT, _TEXT_AT + len(coded))
    return compound(
        {"WordDocument": (head.ljust(0x34, b"\0") + struct.pack("<i", len(coded))).ljust(_TEXT_AT, b"\0") + coded}
    )


def style_sheet(styles: Sequence[tuple[int, int]]) -> bytes:
    """A style sheet of (built-in number, number of the style it is based on)."""
    packed = b""
    for built_in, parent in styles:
        body = struct.pack("<5H", built_in, 1 | parent << 4, 0, 0, 0) + struct.pack("<HH", 0, 0)
        packed += struct.pack("<H", len(body)) + body
    return struct.pack("<HHH", 4, len(styles), 10) + packed


def _word_head(flags: int, body: int, footnotes: int, pointers: dict[int, tuple[int, int]]) -> bytes:
    head = bytearray(0x9A + 8 * 93)
    struct.pack_into("<6H", head, 0, 0xA5EC, 0xC1, 0, 0x0804, 0, 0x0200 | flags)
    struct.pack_into("<2i", head, 0x4C, body, footnotes)
    for number, pointer in pointers.items():
        struct.pack_into("<2I", head, 0x9A + 8 * number, *pointer)
    return bytes(head)


def _clx(pieces: Sequence[tuple[int, int]], end: int) -> bytes:
    starts = struct.pack(f"<{len(pieces) + 1}I", *(start for start, _ in pieces), end)
    table = starts + b"".join(struct.pack("<HIH", 0, where, 0) for _, where in pieces)
    return b"\x02" + struct.pack("<I", len(table)) + table


def _page(borders: Sequence[int], entries: Sequence[bytes], *, is_paragraph: bool) -> bytes:
    """A page of properties: borders, offsets of the entries in words, and from its end upwards the entries."""
    page = bytearray(_PAGE)
    struct.pack_into(f"<{len(borders)}I", page, 0, *borders)
    at = _PAGE - 1
    width = 13 if is_paragraph else 1
    for number, entry in enumerate(entries):
        head = struct.pack("BB", 0, -(-len(entry) // 2)) if is_paragraph else struct.pack("B", len(entry))
        packed = head + entry
        at = (at - len(packed)) // 2 * 2
        page[at : at + len(packed)] = packed
        page[4 * len(borders) + width * number] = at // 2
    assert at > 4 * len(borders) + width * len(entries)
    page[-1] = len(entries)
    return bytes(page)


def record(kind: int, *content: bytes, instance: int = 0, is_container: bool = True) -> bytes:
    """A PowerPoint record."""
    body = b"".join(content)
    return struct.pack("<HHI", instance << 4 | (0xF if is_container else 0), kind, len(body)) + body


def atom(kind: int, content: bytes = b"", instance: int = 0) -> bytes:
    """A PowerPoint record without records in it."""
    return record(kind, content, instance=instance, is_container=False)


def box(kind: int, text: str, *, role: int = 0, anchor: Sequence[int] = ()) -> bytes:
    """A shape with text: kind 0 is a title, 1 a body, 2 notes, 4 other."""
    placed = atom(0xF00F, struct.pack("<4i", *anchor)) if anchor else b""
    placeholder = record(0xF011, atom(0x0BC3, struct.pack("<iBBH", 0, role, 0, 0))) if role else b""
    content = atom(0x0F9F, struct.pack("<I", kind)) + atom(0x0FA0, text.encode("utf-16-le"))
    return record(0xF004, placed, placeholder, record(0xF00D, content))


def table(boxes: Sequence[bytes]) -> bytes:
    """A group of shapes that is a table."""
    return record(0xF003, record(0xF004, atom(0xF122, struct.pack("<HI", 0x039F, 1), instance=1)), *boxes)


def page(*shapes: bytes, kind: int = 0x03EE, notes: int = 0) -> bytes:
    """A slide, or with kind 0x03F0 a page of notes."""
    about = atom(0x03EF, struct.pack("<I8xIIHH", 0, 0, notes, 0, 0))
    return record(kind, about, record(0x040C, record(0xF002, record(0xF003, record(0xF004), *shapes))))


def powerpoint(
    slides: Sequence[bytes], *, notes: Sequence[bytes] = (), listed: Sequence[bytes] = (), token: int = 0xE391C05F
) -> bytes:
    """A presentation; the notes page of number n is that of slides made with `notes=n` (from 1)."""
    stream, offsets = b"", []
    for part in (*slides, *notes):
        offsets.append(len(stream))
        stream += part
    texts = [*listed, *[b""] * (len(slides) - len(listed))]
    entries = [_slide_entry(2 + number, 256 + number) + texts[number] for number in range(len(slides))]
    pages = [_slide_entry(2 + len(slides) + number, 1 + number) for number in range(len(notes))]
    offsets.insert(0, len(stream))
    stream += record(0x03E8, record(0x0FF0, *entries), record(0x0FF0, *pages, instance=2))
    directory = len(stream)
    stream += atom(0x1772, struct.pack(f"<I{len(offsets)}I", 1 | len(offsets) << 20, *offsets))
    edit = len(stream)
    stream += atom(0x0FF5, struct.pack("<7I", 0, 0, 0, directory, 1, 0, 0))
    user = atom(0x0FF6, struct.pack("<III", 20, token, edit))
    return compound({"PowerPoint Document": stream, "Current User": user})


def _slide_entry(reference: int, ident: int) -> bytes:
    return atom(0x03F3, struct.pack("<5I", reference, 0, 0, ident, 0))


def _biff(kind: int, content: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def _biff_text(text: str, length: str) -> bytes:
    return struct.pack(f"<{length}B", len(text), 1) + text.encode("utf-16-le")


def workbook(
    sheets: dict[str, Sequence[Sequence[object]]],
    *,
    shapes: dict[tuple[int, int], str] | None = None,
    merged: Sequence[tuple[int, int, int, int]] = (),
    is_encrypted: bool = False,
) -> bytes:
    """A workbook. `shapes`: the number format of a cell of every sheet; `merged`: first and last row and column."""
    formats = dict.fromkeys((shapes or {}).values())
    styles = {shape: number for number, shape in enumerate(formats, start=1)}
    head = _biff(0x0809, struct.pack("<4HII", 0x0600, 5, 0, 0, 0, 0))
    head += _biff(0x002F, bytes(6)) if is_encrypted else b""
    head += b"".join(
        _biff(0x041E, struct.pack("<H", 163 + key) + _biff_text(shape, "H")) for shape, key in styles.items()
    )
    head += b"".join(_biff(0x00E0, struct.pack("<HH16x", 0, 163 + key if key else 0)) for key in range(len(styles) + 1))
    bodies = [
        _sheet(rows, {place: styles[shape] for place, shape in (shapes or {}).items()}, merged)
        for rows in sheets.values()
    ]
    at = len(head) + sum(len(_bound(name, 0)) for name in sheets) + len(_biff(0x000A))
    for name, body in zip(sheets, bodies, strict=True):
        head += _bound(name, at)
        at += len(body)
    return compound({"Workbook": head + _biff(0x000A) + b"".join(bodies)})


def _bound(name: str, at: int) -> bytes:
    return _biff(0x0085, struct.pack("<IBB", at, 0, 0) + _biff_text(name, "B"))


def _sheet(
    rows: Sequence[Sequence[object]], styles: dict[tuple[int, int], int], merged: Sequence[tuple[int, int, int, int]]
) -> bytes:
    body = _biff(0x0809, struct.pack("<4HII", 0x0600, 0x10, 0, 0, 0, 0))
    for number, cells in enumerate(rows):
        for column, value in enumerate(cells):
            place = struct.pack("<3H", number, column, styles.get((number, column), 0))
            match value:
                case bool():
                    body += _biff(0x0205, place + struct.pack("BB", value, 0))
                case int() | float():
                    body += _biff(0x0203, place + struct.pack("<d", value))
                case str():
                    body += _biff(0x0204, place + _biff_text(value, "H"))
    if merged:
        body += _biff(0x00E5, struct.pack("<H", len(merged)) + b"".join(struct.pack("<4H", *area) for area in merged))
    return body + _biff(0x000A)
