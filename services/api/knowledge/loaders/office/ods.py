"""OpenDocument spreadsheets: each sheet's rows as shown, with the header repeated; comments after all sheets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lxml.etree import _Element as Element

from services.api.domain.knowledge import Place, Section, SourceFile
from services.api.knowledge.loaders.office.odf_tables import Budget, sheet_rows
from services.api.knowledge.loaders.office.odf_text import TABLE, add_asides
from services.api.knowledge.loaders.reading.cleaning import clean_line
from services.api.knowledge.loaders.reading.outline import Outline
from services.api.knowledge.loaders.reading.rows import Row, row_sections

_CELL_LIMIT = 10_000_000
_REPORTED_ROWS = 1000


def read_sheets(file: SourceFile, body: Element) -> tuple[list[Section], list[str]]:
    """The sections of a workbook, and what was not read."""
    sections: list[Section] = []
    warnings: list[str] = []
    asides: list[Element] = []
    budget = Budget(_CELL_LIMIT)
    for table in body.iterchildren(f"{TABLE}table"):
        name = clean_line(table.get(f"{TABLE}name", ""))
        rows = _reported(file, sheet_rows(table, asides, budget))
        sections.extend(row_sections(rows, Place(sheet=name, heading=(name,) if name else ())))
        if budget.is_spent:
            warnings.append(f"the workbook is too large; it was not read from within sheet {name!r} on")
            break
    outline = Outline()
    add_asides(outline, asides)
    return [*sections, *outline.finish()], warnings


def _reported(file: SourceFile, rows: Iterable[Row]) -> Iterator[Row]:
    for done, row in enumerate(rows, start=1):
        if done % _REPORTED_ROWS == 0:
            file.report(done, None)
        yield row
