"""Decides for a PDF page whether its text layer is enough, or its picture must be read. `loader.py` beside calls it."""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Iterator
from itertools import islice

import pypdfium2
from pypdfium2 import raw

_FEW_LETTERS = 50
_COVERED = 0.5
_LARGE = 0.6
_DEPTH = 3
_OBJECT_LIMIT = 5000
_INVISIBLE_SAMPLE = 50
_GARBLED_SHARE = 0.2
_GARBLED_LEAST = 10
_SAMPLE_CHARS = 3000
_SAMPLES = 150
_MOJIBAKE_SHARE = 0.5
_BROKEN = {"Co", "Cn", "Cs", "Cc"}

Rectangle = tuple[float, float, float, float]


class Sight(enum.Enum):
    """What a page's picture is needed for."""

    UNNEEDED = "unneeded"
    INSTEAD = "instead"
    BESIDES = "besides"


def needed_sight(page: pypdfium2.PdfPage, text: pypdfium2.PdfTextPage) -> Sight:
    """What the picture of a page is needed for.

    Instead of the text layer: it is missing, garbled, or tiny under pictures that cover most of the page. Besides it:
    a picture reaches over most of the width and height, and the text layer is not the reading of a scan already.
    """
    shown = "".join(text.get_text_range().split()) if text.count_chars() else ""
    if not shown:
        return Sight.INSTEAD if raw.FPDFPage_CountObjects(page) > 0 else Sight.UNNEEDED
    if is_garbled(shown) or _is_unmapped(text):
        return Sight.INSTEAD
    pictures = list(_pictures(page))
    if len(shown) < _FEW_LETTERS and sum(width * height for width, height in pictures) >= _COVERED:
        return Sight.INSTEAD
    if any(min(share) >= _LARGE for share in pictures) and not _is_invisible(page):
        return Sight.BESIDES
    return Sight.UNNEEDED


def is_garbled(shown: str) -> bool:
    """Whether text without spaces is no writing: replacement or private characters, or GBK read as Latin-1."""
    if len(shown) < _GARBLED_LEAST:
        return False
    broken = sum(1 for char in shown if char == "\ufffd" or unicodedata.category(char) in _BROKEN)
    mojibake = sum(1 for char in shown if "\x80" <= char <= "\xff")
    return broken >= _GARBLED_SHARE * len(shown) or mojibake >= _MOJIBAKE_SHARE * len(shown)


def _is_unmapped(text: pypdfium2.PdfTextPage) -> bool:
    """Whether the fonts do not say which characters they draw, so that what pdfium gives is a guess."""
    count = min(text.count_chars(), _SAMPLE_CHARS)
    sampled = range(0, count, max(count // _SAMPLES, 1))
    unmapped = sum(raw.FPDFText_HasUnicodeMapError(text, index) == 1 for index in sampled)
    return count >= _GARBLED_LEAST and bool(unmapped >= _GARBLED_SHARE * len(sampled))


def largest_picture(page: pypdfium2.PdfPage) -> int:
    """The pixels of the largest picture on a page; they are unpacked to render it."""
    return max((width * height for width, height in (item.get_px_size() for item in _images(page))), default=0)


def _pictures(page: pypdfium2.PdfPage) -> Iterator[tuple[float, float]]:
    """For each picture its share of the page's width and of its height."""
    left, bottom, right, top = page.get_bbox()
    wide, high = max(right - left, 1.0), max(top - bottom, 1.0)
    for item in _images(page):
        x0, y0, x1, y1 = _bounds(item)
        width, height = min(x1, right) - max(x0, left), min(y1, top) - max(y0, bottom)
        yield max(width, 0.0) / wide, max(height, 0.0) / high


def _images(page: pypdfium2.PdfPage) -> Iterator[pypdfium2.PdfImage]:
    count = min(raw.FPDFPage_CountObjects(page), _OBJECT_LIMIT)
    kinds = {raw.FPDFPageObj_GetType(raw.FPDFPage_GetObject(page, index)) for index in range(count)}
    if kinds.isdisjoint({raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_FORM}):
        return  # most pages; the objects below are dear to make
    for item in islice(page.get_objects(max_depth=_DEPTH), _OBJECT_LIMIT):
        if item.type == raw.FPDF_PAGEOBJ_IMAGE:
            yield item


def _bounds(item: pypdfium2.PdfObject) -> Rectangle:
    """Where it stands on the page; pdfium gives it within the form that draws it."""
    bounds: Rectangle = item.get_bounds()
    form = item.container
    while form is not None:
        bounds = form.get_matrix().on_rect(*bounds)
        form = form.container
    return bounds


def _is_invisible(page: pypdfium2.PdfPage) -> bool:
    """Whether the text is drawn invisibly: somebody read the scan before us and laid the text under it."""
    objects = page.get_objects(filter=[raw.FPDF_PAGEOBJ_TEXT], max_depth=_DEPTH)
    modes = {raw.FPDFTextObj_GetTextRenderMode(item) for item in islice(objects, _INVISIBLE_SAMPLE)}
    return modes == {raw.FPDF_TEXTRENDERMODE_INVISIBLE}
