"""Values of JSON and YAML, and how they read: key paths as headings, `key: value` lines, similar objects as rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeGuard

from services.api.domain.knowledge import Place, Section
from services.api.knowledge.loaders.reading.cleaning import clean, clean_line
from services.api.knowledge.loaders.reading.tables import markdown_table

COMMENT = "#"
"""The key under which a comment stands among the pairs of its mapping."""
_LINES_CHARS = 500
_ROW_CHARS = 2000
_USUAL_ROW_CHARS = 300
_GROUP_ROWS = 50
_BLOCK_RECORDS = 1000
_COLUMNS = 40
_LABEL_CHARS = 80
_NAMES = ("title", "name", "question", "subject", "标题", "名称", "姓名", "问题")
_EMPTY = frozenset({"{}", "[]"})
_ENCODED_CHARS = 1000
_ENCODED = re.compile(r"(?:data:[\w/+.;=-]{0,100},)?(?=[0-9+/=]{0,100}[A-Za-z])[\w+/=\s-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fields:
    """An object or mapping: its keys in order, a repeated one as often as it stands there."""

    pairs: list[tuple[str, Value]]

    def get(self, name: str) -> Value:
        """The value of a key, None when it is absent."""
        return next((value for key, value in self.pairs if key == name), None)


Value: TypeAlias = "str | bool | list[Value] | Fields | None"


@dataclass(frozen=True, slots=True)
class Record:
    """An item of an array or a line of a file, with its number, counted from 1."""

    number: int
    value: Value


@dataclass(frozen=True, slots=True)
class _Branch:
    value: Value
    place: Place


@dataclass(frozen=True, slots=True)
class _Block:
    """Neighbouring items of an array that is too long to be judged as a whole."""

    records: list[Record]
    place: Place


def sections_of(value: Value, place: Place | None = None) -> Iterator[Section]:
    """The sections of a value. The stack is our own: values may nest deeper than Python's calls.

    Of a long array each thousand items are judged by themselves, so that the first sections need not wait for the last.
    """
    stack: list[_Branch | _Block | Section] = [_Branch(value, place or Place())]
    while stack:
        match stack.pop():
            case Section() as section:
                yield section
            case _Block(records, inner):
                rows = record_table(records, inner)
                stack.extend(reversed(rows if rows is not None else list(_branches(records, inner))))
            case _Branch() as branch:
                stack.extend(reversed(list(_opened(branch))))


def record_table(records: Sequence[Record], place: Place) -> list[Section] | None:
    """Similar flat objects as table rows, or None when the records are anything else."""
    rows = [pairs_within(record.value, _ROW_CHARS) for record in records if isinstance(record.value, Fields)]
    cells = [dict(pairs) for pairs in rows if pairs is not None]
    columns = list(dict.fromkeys(key for row in cells for key in row))
    if len(records) < 2 or len(cells) < len(records) or not 1 <= len(columns) <= _COLUMNS:
        return None
    if sum(map(len, cells)) * 2 < len(columns) * len(cells) or any(map(_repeats, rows)):
        return None
    if sum(len(text) for row in cells for text in row.values()) > _USUAL_ROW_CHARS * len(cells):
        return None
    numbered = [(record.number, row) for record, row in zip(records, cells, strict=True)]
    return [_row_group(columns, group, place) for group in _grouped(numbered)]


def pairs_within(value: Value, limit: int) -> list[tuple[str, str]] | None:
    """Every plain value below this one with its dotted key, or None when they take more than `limit` characters."""
    pairs: list[tuple[str, str]] = []
    stack: list[tuple[str, Value]] = [("", value)]
    while stack:
        path, inner = stack.pop()
        children = _children(inner)
        limit -= len(path)
        if limit < len(children):
            return None
        if children:
            stack.extend((f"{path}.{key}" if path else key, child) for key, child in reversed(children))
            continue
        text = plain(inner)
        limit -= len(text)
        if limit < 0:
            return None
        pairs.append((path, text))
    return pairs


def plain(value: Value) -> str:
    """A value on one line; an array of plain values is joined by commas, an empty one shown as JSON shows it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list():
            return ", ".join(plain(item) for item in value) or "[]"
        case Fields():
            return "{}"
    if len(value) >= _ENCODED_CHARS and " " not in value[:_ENCODED_CHARS] and _ENCODED.fullmatch(value):
        return f"({len(value)} characters of encoded bytes, left out)"
    return value


def _children(value: Value) -> list[tuple[str, Value]]:
    """What is below a value; a list of plain values is plain itself."""
    if isinstance(value, Fields):
        return value.pairs
    if _holds_objects(value):
        return [(str(number), item) for number, item in enumerate(value, start=1)]
    return []


def _holds_objects(value: Value) -> TypeGuard[list[Value]]:
    """Whether a value is an array of more than plain values."""
    return isinstance(value, list) and any(isinstance(item, (list, Fields)) for item in value)


def _repeats(pairs: list[tuple[str, str]] | None) -> bool:
    return pairs is not None and len(dict(pairs)) < len(pairs)


def _opened(branch: _Branch) -> Iterator[_Branch | _Block | Section]:
    """A value that fits as lines; of a larger one, its parts in order."""
    value, place = branch.value, branch.place
    records = [Record(number, item) for number, item in enumerate(value, start=1)] if _holds_objects(value) else []
    if len(records) > _BLOCK_RECORDS:
        yield from (_Block(block, place) for block in _blocks(records))
        return
    rows = record_table(records, place)
    pairs = pairs_within(value, _LINES_CHARS)
    if rows is not None:
        yield from rows
    elif pairs is not None:
        yield Section(_lines(pairs), place, whole=True)
    elif records:
        yield from _branches(records, place)
    elif isinstance(value, Fields):
        yield from _parts(value, place)
    elif isinstance(value, list):
        yield from _items(value, place)
    else:
        yield Section(clean(plain(value)), place)


def _blocks(records: list[Record]) -> Iterator[list[Record]]:
    """The records in blocks of like length: one left over would be no table."""
    count = -(-len(records) // _BLOCK_RECORDS)
    size = -(-len(records) // count)
    return (records[start : start + size] for start in range(0, len(records), size))


def _branches(records: Sequence[Record], place: Place) -> Iterator[_Branch]:
    return (_Branch(record.value, below(place, _label(record))) for record in records)


def _parts(value: Fields, place: Place) -> Iterator[_Branch | Section]:
    """Small values of an object share a section, as long as nothing large stands between them."""
    held: list[tuple[str, str]] = []
    for key, child in value.pairs:
        pairs = pairs_within(Fields([(key, child)]), _LINES_CHARS)
        if pairs is not None and not (_holds_objects(child) and len(child) > 1):
            held.extend(pairs)
            continue
        yield Section(_lines(held), place)
        held = []
        yield _Branch(child, below(place, key))
    yield Section(_lines(held), place)


def _items(value: list[Value], place: Place) -> Iterator[Section]:
    texts = list(map(plain, value))
    if max(map(len, texts)) < 20:
        yield Section(clean(", ".join(texts)), place)
        return
    for start in range(0, len(texts), _GROUP_ROWS):
        yield Section(clean("\n".join(f"- {text}" for text in texts[start : start + _GROUP_ROWS])), place)


def below(place: Place, label: str) -> Place:
    """The place one key further down."""
    label = clean_line(label)
    short = label if len(label) <= _LABEL_CHARS else f"{label[: _LABEL_CHARS - 1]}…"
    return replace(place, heading=(*place.heading, short)) if short else place


def _label(record: Record) -> str:
    """The number of an item, and its name if it has one: its parts may be cut apart."""
    name = name_of(record.value)
    return f"{record.number}: {name}" if name else str(record.number)


def name_of(value: Value) -> str:
    """What an object is called in one of its own fields, or nothing."""
    named = (value.get(name) for name in _NAMES) if isinstance(value, Fields) else ()
    return next((name for name in named if isinstance(name, str) and name and len(name) <= _LABEL_CHARS), "")


def _lines(pairs: list[tuple[str, str]]) -> str:
    if all(text in _EMPTY for _, text in pairs):
        return ""
    return clean("\n".join(_line(key, text) for key, text in pairs))


def _line(key: str, text: str) -> str:
    if key.rpartition(".")[2] == COMMENT:
        return f"# {text}"
    if not key:
        return text
    return f"{key}:\n{text}" if "\n" in text.rstrip("\n") else f"{key}: {text}"


def _grouped(rows: list[tuple[int, dict[str, str]]]) -> Iterator[list[tuple[int, dict[str, str]]]]:
    """Neighbouring rows together, so that the place of a part of them can be told."""
    group: list[tuple[int, dict[str, str]]] = []
    for number, row in rows:
        if group and (len(group) == _GROUP_ROWS or number != group[-1][0] + 1):
            yield group
            group = []
        group.append((number, row))
    if group:
        yield group


def _row_group(columns: list[str], group: list[tuple[int, dict[str, str]]], place: Place) -> Section:
    used = [column for column in columns if any(row.get(column) for _, row in group)]
    body = [[_cell(row.get(column, "")) for column in used] for _, row in group]
    text = markdown_table([clean_line(column) for column in used], body)
    return Section(text, replace(place, row=group[0][0], last_row=group[-1][0]), whole=True)


def _cell(text: str) -> str:
    return "" if text == "null" else clean_line(text)
