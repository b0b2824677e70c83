"""Words inside DrawingML: paragraphs of a text body, tables, diagrams, charts. `pptx` and `slides` call it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from lxml.etree import _Element as Element

from services.api.knowledge.loaders.office.package import local_name
from services.api.knowledge.loaders.reading.tables import Cell

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_DGM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_BULLETS = (f"{A}pPr/{A}buChar", f"{A}pPr/{A}buAutoNum", f"{A}pPr/{A}buBlip")
_SPAN_LIMIT = 300
_REPEATED_CHARS = 1000
_SERIES_LIMIT = 100
_CATEGORY_LIMIT = 1000


def text_of(body: Element) -> str:
    """A text body, a line per paragraph; formulas as their characters, slide numbers left out."""
    return "\n".join(_paragraph(paragraph) for paragraph in body.iterchildren(f"{A}p"))


def _paragraph(paragraph: Element) -> str:
    parts: list[str] = []
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        if element.tag in {f"{A}t", f"{_M}t"}:
            parts.append(element.text or "")
        elif element.tag == f"{A}br":
            parts.append("\n")
        elif element.tag != f"{MC}Fallback" and element.get("type") != "slidenum":
            stack.extend(reversed(element))
    text = "".join(parts)
    is_item = text.strip() and any(paragraph.find(bullet) is not None for bullet in _BULLETS)
    return f"- {text}" if is_item else text


def table_rows(table: Element) -> list[list[Cell]]:
    """The cells of a table; those that a merged cell covers are left out."""
    return [
        [
            _cell(cell)
            for cell in row.iterchildren(f"{A}tc")
            if not _is_set(cell, "hMerge") and not _is_set(cell, "vMerge")
        ]
        for row in table.iterchildren(f"{A}tr")
    ]


def _cell(cell: Element) -> Cell:
    """A cell; a long text is not repeated in all the rows that it reaches down to."""
    body = cell.find(f"{A}txBody")
    text = "" if body is None else text_of(body)
    rows = _span(cell, "rowSpan") if len(text) <= _REPEATED_CHARS else 1
    return Cell(text, rows, _span(cell, "gridSpan"))


def _span(cell: Element, name: str) -> int:
    value = cell.get(name, "1")
    return min(int(value), _SPAN_LIMIT) if value.isdecimal() else 1


def _is_set(cell: Element, name: str) -> bool:
    return cell.get(name) in {"1", "true"}


def diagram_text(root: Element) -> str:
    """The words of a diagram (SmartArt), a line per point."""
    bodies = (point.find(f"{_DGM}t") for point in root.iter(f"{_DGM}pt"))
    return "\n".join(filter(str.strip, (text_of(body) for body in bodies if body is not None)))


def chart_title(root: Element) -> str:
    """The title somebody gave a chart."""
    title = root.find(f"{_C}chart/{_C}title")
    return "" if title is None else "".join(text.text or "" for text in title.iter(f"{A}t"))


def chart_rows(root: Element) -> list[list[Cell]]:
    """A chart's figures as a table: a column per series, a row per category, the first thousand of them."""
    series = list(islice(root.iter(f"{_C}ser"), _SERIES_LIMIT))
    named = next((points for points in (_points(one, "cat", "xVal") for one in series) if points), {})
    columns = [_points(one, "val", "yVal") for one in series]
    names = [" ".join(_points(one, "tx").values()) for one in series]
    places = dict.fromkeys(place for points in (named, *columns) for place in points)
    rows = [
        [named.get(place, ""), *(points.get(place, "") for points in columns)]
        for place in islice(places, _CATEGORY_LIMIT)
    ]
    return [[Cell(text) for text in row] for row in (["", *names], *rows)]


def _points(series: Element, *names: str) -> dict[str, str]:
    """What is kept of the cells a series was drawn from: place → shown value."""
    holder = next((child for child in series if local_name(child) in names), None)
    points: dict[str, str] = {}
    for point in holder.iter(f"{_C}pt") if holder is not None else _none():
        points.setdefault(point.get("idx", ""), _shown(point.findtext(f"{_C}v", "")))
    return points


def _none() -> Iterator[Element]:
    return iter(())


def _shown(value: str) -> str:
    """A figure without the noise of binary fractions."""
    try:
        return f"{float(value):.10g}" if "." in value else value
    except ValueError:
        return value
