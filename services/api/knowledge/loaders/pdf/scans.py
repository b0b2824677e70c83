"""Reads PDF pages as pictures where the text layer is not enough, some hundred a file. `loader.py` beside calls it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

import numpy as np
import pypdfium2

from services.api.domain.knowledge import SourceFile
from services.api.knowledge.loaders.pdf.pages import Page, Piece
from services.api.knowledge.loaders.pdf.progress import PageSteps
from services.api.knowledge.loaders.pdf.sight import Sight, largest_picture
from services.api.knowledge.loaders.pictures.cache import PictureReader
from services.api.knowledge.loaders.pictures.frames import PIXEL_LIMIT
from services.api.knowledge.loaders.pictures.lines import Paragraph, blocks
from services.api.knowledge.loaders.pictures.ocr import Pixels
from services.api.knowledge.loaders.pictures.reading import Reading
from services.api.knowledge.loaders.pictures.sizes import BAND_PIXELS

_READ_LIMIT = 500
_POINTS_PER_INCH = 72
_DPI = 150
_A3_POINTS = 842 * 1191 * 1.05
_LONGEST = 8000
_KNOWN_SHARE = 0.6
_GRAM = 3


@dataclass(slots=True)
class Unread:
    """Numbers of the pages of which something was not read, by why."""

    damaged: list[int] = field(default_factory=list)
    silent: list[int] = field(default_factory=list)
    too_large: list[int] = field(default_factory=list)
    beyond: list[int] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """What a person should know about them."""
        reasons = (
            (self.damaged, "damaged, and not read"),
            (self.silent, "no text was found, neither as a text layer nor in the picture of the page"),
            (self.too_large, f"a picture of more than {PIXEL_LIMIT // 1_000_000} million pixels was not read"),
            (self.beyond, f"the picture of the page was not read; that stops after {_READ_LIMIT} pages of a file"),
        )
        return [f"{numbered(pages)}: {reason}" for pages, reason in reasons if pages]


class ScanReader:
    """Reads the pictures of one file's pages. pdfium is entered only with the lock; recognition runs without it."""

    def __init__(self, file: SourceFile, lock: Lock, unread: Unread, steps: PageSteps) -> None:
        self._file = file
        self._lock = lock
        self._reader = PictureReader(file.cache, steps.stay)
        self._unread = unread
        self._steps = steps

    def complete(self, pages: Sequence[Page]) -> list[Page]:
        """The pages with what their pictures say."""
        if all(page.sight is Sight.UNNEEDED for page in pages):
            return list(pages)
        with self._lock:
            pdf = pypdfium2.PdfDocument(self._file.path)
        try:
            return self._completed(pdf, pages)
        finally:
            with self._lock:
                pdf.close()

    def _completed(self, pdf: pypdfium2.PdfDocument, pages: Sequence[Page]) -> list[Page]:
        completed = []
        for page in pages:
            if page.sight is Sight.UNNEEDED:
                completed.append(page)
                continue
            completed.append(_with(page, self._seen(pdf, page), self._unread))
            self._steps.take()
        return completed

    def _seen(self, pdf: pypdfium2.PdfDocument, page: Page) -> Reading | None:
        """What the picture of a page says; None when it is not read."""
        with self._lock:
            pixels = _rendered(pdf, page.number - 1)
        if pixels is None:
            self._unread.too_large.append(page.number)
            return None
        reading = self._reader.known(pixels)
        if reading is None:
            if self._reader.recognised >= _READ_LIMIT:
                self._unread.beyond.append(page.number)
                return None
            reading = self._reader.read(pixels)
        return reading


def numbered(pages: Sequence[int], limit: int = 20) -> str:
    """Page numbers as a person writes them: "pages 3, 7-9"."""
    runs: list[list[int]] = []
    for page in pages:
        if runs and page == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], page]
        else:
            runs.append([page])
    named = ", ".join("-".join(map(str, run)) for run in runs[:limit])
    more = f" and {len(runs) - limit} more places" if len(runs) > limit else ""
    return f"{'page' if len(pages) == 1 else 'pages'} {named}{more}"


def _with(page: Page, seen: Reading | None, unread: Unread) -> Page:
    if seen is None:
        return page
    if page.sight is Sight.BESIDES:
        known = _grams("".join(_texts(page.pieces)))
        new = replace(seen, lines=tuple(line for line in seen.lines if _is_new(line.text, known)))
        return replace(page, pieces=[*page.pieces, *blocks(new)])
    found = blocks(seen)
    if not found and not page.pieces:
        unread.silent.append(page.number)
    return replace(page, pieces=list(found)) if found else page


def _is_new(text: str, known: set[str]) -> bool:
    """Whether the page's text does not say it already: the picture of the page shows that text too."""
    grams = _grams(text)
    return len(grams & known) < _KNOWN_SHARE * len(grams)


def _texts(pieces: Sequence[Piece]) -> list[str]:
    texts: list[str] = []
    for piece in pieces:
        if isinstance(piece, str):
            texts.append(piece)
        elif isinstance(piece, Paragraph):
            texts.append(piece.text)
        else:
            texts += (cell.text for row in piece.rows for cell in row)
    return texts


def _grams(text: str) -> set[str]:
    letters = re.sub(r"[\W_]+", "", text).lower()
    return {letters[place : place + _GRAM] for place in range(max(len(letters) - _GRAM + 1, 1 if letters else 0))}


def _rendered(pdf: pypdfium2.PdfDocument, index: int) -> Pixels | None:
    """A page as pixels, or None when it holds a picture too large to unpack."""
    page = pdf[index]
    try:
        if largest_picture(page) > PIXEL_LIMIT:
            return None
        bitmap = page.render(scale=_scale(*page.get_size()), may_draw_forms=False)
        try:
            return np.array(bitmap.to_numpy()[:, :, :3])
        finally:
            bitmap.close()
    finally:
        page.close()


def _scale(width: float, height: float) -> float:
    """150 dpi. A page beyond A3 is a poster, or a scan whose pixels were taken for points: as many pixels as A4."""
    area = max(width * height, 1.0)
    scale = _DPI / _POINTS_PER_INCH if area <= _A3_POINTS else math.sqrt(BAND_PIXELS / area)
    return min(scale, _LONGEST / max(width, height, 1.0))
