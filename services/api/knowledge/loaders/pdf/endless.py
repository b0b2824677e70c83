"""Refuses PDFs that would keep the parsers busy for ever: forms that draw forms, references that lead to each other."""

from __future__ import annotations

import logging
import mmap
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pdfminer.pdfdocument import PDFDocument
from pdfminer.pdfpage import PDFPage
from pdfminer.pdfparser import PDFParser
from pdfminer.pdftypes import PDFStream, resolve1

log = logging.getLogger(__name__)
_DRAW_LIMIT = 200_000
_CONTENT_BYTES = 4_000_000
_DEPTH_LIMIT = 30
_PAGE_LIMIT = 5000
_FORMS = "its pages draw forms inside forms without end"
_REFERENCE = re.compile(
    rb"(\d{1,10})\s{1,20}\d{1,5}\s{1,20}obj\s{1,20}(\d{1,10})\s{1,20}\d{1,5}\s{1,20}R\s{1,20}endobj"
)
_DRAW = re.compile(rb"/([^\s/\[\]()<>{}%]{1,100})\s+Do\b")


class EndlessFile(Exception):
    """The file would never be read. The message says why, for a person."""


def check_endless(path: Path, heard: Callable[[], None] = lambda: None) -> None:
    """Raise EndlessFile for a file that pdfminer or pdfium would not come back from.

    A file pdfminer cannot read is left to pdfium, which repairs more. `heard` is called after each page.
    """
    with path.open("rb") as handle:
        _check_references(handle)
        try:
            pages = PDFPage.create_pages(PDFDocument(PDFParser(handle)))
            counter = _Counter()
            for page, _ in zip(pages, range(_PAGE_LIMIT), strict=False):
                counter.add_page(page)
                heard()
        except EndlessFile:
            raise
        except Exception:
            log.info("the forms of a PDF could not be counted", exc_info=True)


def _check_references(handle: BinaryIO) -> None:
    """Look for objects that are nothing but references to each other; those in packed object streams are not seen."""
    with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        leads_to = {int(found[1]): int(found[2]) for found in _REFERENCE.finditer(content)}
    done: set[int] = set()
    for start in leads_to:
        met: set[int] = set()
        step: int | None = start
        while step is not None and step not in done:
            if step in met:
                raise EndlessFile("its objects refer to each other without end")
            met.add(step)
            step = leads_to.get(step)
        done |= met


class _Counter:
    """Draws per form, each form counted once."""

    def __init__(self) -> None:
        self._draws: dict[int, int] = {}
        self._open: set[int] = set()
        self._total = 0

    def add_page(self, page: PDFPage) -> None:
        for form in _forms(page.resources).values():
            self._total += self._count(form, page.resources)
            if self._total > _DRAW_LIMIT:
                raise EndlessFile(_FORMS)

    def _count(self, form: PDFStream, inherited: object) -> int:
        ident = id(form)
        if ident in self._draws:
            return self._draws[ident]
        if ident in self._open or len(self._open) > _DEPTH_LIMIT:
            raise EndlessFile(_FORMS)
        self._open.add(ident)
        resources = form.get("Resources") or inherited
        inner = _forms(resources)
        drawn = [match[1].decode("latin-1") for match in _DRAW.finditer(_content(form))] if inner else []
        total = 1
        for name in drawn:
            total += self._count(inner[name], resources) if name in inner else 0
            if total > _DRAW_LIMIT:
                raise EndlessFile(_FORMS)
        self._open.discard(ident)
        self._draws[ident] = total
        return total


def _forms(resources: object) -> dict[str, PDFStream]:
    known = resolve1(resources)
    named = resolve1(known.get("XObject")) if isinstance(known, dict) else None
    found = {name: resolve1(item) for name, item in named.items()} if isinstance(named, dict) else {}
    return {name: item for name, item in found.items() if isinstance(item, PDFStream) and _is_form(item)}


def _is_form(stream: PDFStream) -> bool:
    return getattr(resolve1(stream.get("Subtype")), "name", "") == "Form"


def _content(form: PDFStream) -> bytes:
    """The form's operators, unpacked no further than a limit."""
    packed: bytes = form.get_rawdata() or b""
    for name, _ in form.get_filters():
        if getattr(name, "name", "") not in {"FlateDecode", "Fl"}:
            return b""
        packed = zlib.decompressobj().decompress(packed, _CONTENT_BYTES)
    return packed[:_CONTENT_BYTES]
