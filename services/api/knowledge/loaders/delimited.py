"""CSV and TSV, streamed: dialect and header found, rows as Markdown with the header repeated for each group of rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import ClassVar

from services.api.domain.knowledge import Document, Place, SourceFile
from services.api.knowledge.loaders.reading.cleaning import clean_line
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.encodings import detect, open_text
from services.api.knowledge.loaders.reading.failures import check_size, reading
from services.api.knowledge.loaders.reading.rows import REPORT_ROWS, Row, row_sections
from services.api.knowledge.loaders.reading.streams import joined, parts_of

_SNIFF_CHARS = 65_536
_DELIMITERS = ",;\t|"
_FIELD_LIMIT_CHARS = 10_000_000


class DelimitedLoader:
    """Reads .csv and .tsv."""

    extensions: ClassVar[frozenset[str]] = frozenset({".csv", ".tsv"})

    def load(self, file: SourceFile) -> Document:
        return joined(file, self.parts(file))

    def parts(self, file: SourceFile) -> Iterator[Document]:
        with reading(file):
            check_size(file)
            require_text(file)
            encoding = detect(file)
            with open_text(file, encoding) as handle:
                delimiter = _delimiter(file, handle.read(_SNIFF_CHARS))
                handle.seek(0)
                csv.field_size_limit(_FIELD_LIMIT_CHARS)
                rows = _rows(file, csv.reader(handle, delimiter=delimiter))
                yield from parts_of(row_sections(rows, Place()))
            yield Document((), encoding.warnings)


def _rows(file: SourceFile, reader: Iterator[list[str]]) -> Iterator[Row]:
    for number, row in enumerate(reader, start=1):
        if number % REPORT_ROWS == 0:
            file.report(number, None)
        cleaned = [clean_line(cell) for cell in row]
        while cleaned and not cleaned[-1]:
            cleaned.pop()
        if cleaned:
            yield Row(number, cleaned)


def _delimiter(file: SourceFile, sample: str) -> str:
    """The delimiter that divides the most lines into the same number of fields; a comma when none does."""
    if file.name.extension == ".tsv":
        return "\t"
    lines = [line for line in sample.splitlines()[:50] if line.strip()]
    return max(_DELIMITERS, key=lambda candidate: _agreement(lines, candidate))


def _agreement(lines: list[str], delimiter: str) -> tuple[int, int]:
    counts = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
    divided = [count for count in counts if count > 1]
    if not divided:
        return (0, 0)
    usual = max(set(divided), key=divided.count)
    return (divided.count(usual) * 1000 // len(counts), min(usual, 50))
