"""JSON and JSON lines: values as text under their key paths. What is not valid JSON is kept as it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import ClassVar

from services.api.domain.knowledge import Document, Place, Section, SourceFile
from services.api.knowledge.loaders.code import code_sections
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.encodings import detect, open_text, read_text
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.streams import Steps, joined, parts_of
from services.api.knowledge.loaders.records.tree import Fields, Record, Value, below, name_of, record_table, sections_of
from services.foundation.errors import UnreadableFile

_BLOCK_RECORDS = 1000
_NAMED_LINES = 10
_SPACES = re.compile(r"\s+")
# Numbers stay text: a figure of 200,000 digits is no number to Python, and NaN is none in JSON.
_DECODER = json.JSONDecoder(object_pairs_hook=Fields, parse_int=str, parse_float=str, parse_constant=str, strict=False)
_TOO_DEEP = "its values are nested too deeply to be read"


class JsonLoader:
    """Reads .json; several values one after another are read as well."""

    extensions: ClassVar[frozenset[str]] = frozenset({".json"})

    def load(self, file: SourceFile) -> Document:
        return joined(file, self.parts(file))

    def parts(self, file: SourceFile) -> Iterator[Document]:
        with reading(file):
            check_size(file)
            require_text(file)
            text, warnings = read_text(file)
            steps = Steps(file)
            try:
                values = decoded(text, steps.take)
            except json.JSONDecodeError as wrong:
                broken = f"it is not valid JSON (line {wrong.lineno}: {wrong.msg}), so it was read as plain text"
                yield document(file, code_sections(text), (*warnings, broken))
                return
            except RecursionError as deep:
                raise UnreadableFile(file=file.name.value, reason=_TOO_DEEP) from deep
            del text
            whole: Value = values[0] if len(values) == 1 else list(values)
            yield from parts_of(steps.over(sections_of(whole)))
            yield Document((), warnings)


def decoded(text: str, heard: Callable[[], None] = lambda: None) -> list[Value]:
    """The values a text holds, one after another.

    Args:
        text: all of it.
        heard: called after each item of an outermost array.

    Raises:
        JSONDecodeError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    text = text.removeprefix("\ufeff").strip()
    values: list[Value] = []
    end = 0
    while end < len(text):
        value, end = _items(text, end, heard) if text[end] == "[" else _DECODER.raw_decode(text, end)
        values.append(value)
        end = _after_spaces(text, end)
    return values


def _items(text: str, start: int, heard: Callable[[], None]) -> tuple[Value, int]:
    """The array that begins at `start`, decoded item by item: all at once, a long one would be silent for minutes."""
    items: list[Value] = []
    at = _after_spaces(text, start + 1)
    if text[at : at + 1] == "]":
        return items, at + 1
    while True:
        item, at = _DECODER.raw_decode(text, at)
        items.append(item)
        heard()
        at = _after_spaces(text, at)
        if text[at : at + 1] == "]":
            return items, at + 1
        if text[at : at + 1] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _after_spaces(text, at + 1)


def _after_spaces(text: str, at: int) -> int:
    found = _SPACES.match(text, at)
    return found.end() if found else at


class JsonLinesLoader:
    """Reads .jsonl and .ndjson as a stream: one record a line, a broken one named and passed over."""

    extensions: ClassVar[frozenset[str]] = frozenset({".jsonl", ".ndjson"})

    def load(self, file: SourceFile) -> Document:
        return joined(file, self.parts(file))

    def parts(self, file: SourceFile) -> Iterator[Document]:
        with reading(file):
            check_size(file)
            require_text(file)
            lines = _Lines(file)
            is_read = False
            for part in parts_of(lines.sections()):
                yield part
                is_read = True
            if not is_read and lines.broken:
                yield from JsonLoader().parts(file)
            else:
                yield Document((), lines.warnings)


class _Lines:
    """The records of a file; remembers the lines that were not JSON."""

    def __init__(self, file: SourceFile) -> None:
        self.broken: list[int] = []
        self._file = file
        self._encoding = detect(file)

    @property
    def warnings(self) -> tuple[str, ...]:
        if not self.broken:
            return self._encoding.warnings
        named = ", ".join(map(str, self.broken[:_NAMED_LINES]))
        rest = len(self.broken) - _NAMED_LINES
        more = f" and {rest} more" if rest > 0 else ""
        return (*self._encoding.warnings, f"not valid JSON and therefore not read: line {named}{more}")

    def sections(self) -> Iterator[Section]:
        block: list[Record] = []
        for record in self._records():
            block.append(record)
            if len(block) == _BLOCK_RECORDS:
                yield from _block_sections(block)
                self._file.report(record.number, None)
                block = []
        yield from _block_sections(block)

    def _records(self) -> Iterator[Record]:
        with open_text(self._file, self._encoding) as handle:
            for number, line in enumerate(handle, start=1):
                try:
                    values = decoded(line)
                except (json.JSONDecodeError, RecursionError):
                    self.broken.append(number)
                    continue
                yield from (Record(number, value) for value in values)


def _block_sections(block: list[Record]) -> Iterator[Section]:
    rows = record_table(block, Place())
    if rows is not None:
        yield from rows
        return
    for record in block:
        yield from sections_of(
            record.value, below(Place(row=record.number, last_row=record.number), name_of(record.value))
        )
