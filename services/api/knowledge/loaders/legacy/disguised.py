"""What a file with an old Office extension really is: many systems export web pages or newer files under one."""

from __future__ import annotations

import codecs
import re
import zipfile
from dataclasses import replace

from services.api.domain.knowledge import Document, SourceFile
from services.api.domain.ports import Loader
from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.loaders.legacy.container import SIGNATURE, open_container
from services.api.knowledge.loaders.reading.content_type import identify
from services.foundation.errors import UnreadableFile

_HEAD_BYTES = 8192
_STREAMS = {"worddocument": ".doc", "workbook": ".xls", "book": ".xls", "powerpoint document": ".ppt"}
_FOLDERS = {"word/": ".docx", "xl/": ".xlsx", "ppt/": ".pptx"}
_BARE_SHEET = (b"\x09\x00\x04\x00", b"\x09\x02\x06\x00", b"\x09\x04\x06\x00", b"\x09\x08\x08\x00", b"\x09\x08\x10\x00")
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WEB_PAGE = re.compile(
    rb"<(?:!doctype\s+html|html|head|meta|title|style|body|table|thead|tbody|tr|div|p|h[1-6]|center|font|span|br)\b",
    re.IGNORECASE,
)
_SHEET_XML = b"urn:schemas-microsoft-com:office:spreadsheet"
_MESSAGE = re.compile(
    rb"(?:from|subject|date|mime-version|content-type|x-[\w-]+):.*?^mime-version:|mime-version:", re.I | re.M | re.S
)
_TEXTS = {".doc": ".txt", ".rtf": ".txt", ".xls": ".csv"}
_SHOWN = {
    ".csv": "a text table",
    ".html": "a web page",
    ".mht": "a web archive",
    ".rtf": "an RTF document",
    ".txt": "plain text",
    ".xml": "an XML file",
}
SHEET_XML = "spreadsheet XML"


def real_extension(file: SourceFile, expected: str) -> str:
    """The extension that fits the content; `SHEET_XML` for the XML of Excel 2003, which has none of its own.

    Args:
        file: the file.
        expected: what it should be, for the message ("a Word document").

    Raises:
        UnreadableFile: it is of a kind that is not read under this name.
    """
    with file.path.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
    if head.startswith(SIGNATURE):
        found = _by_streams(file)
    elif head.startswith(b"PK"):
        found = _by_folder(file)
    elif head.startswith(_BARE_SHEET):
        found = ".xls"
    elif identify(head.lstrip()) not in {None, "an RTF document"}:
        found = None
    else:
        found = _by_text(head, file.name.extension)
    if found is None or (found != SHEET_XML and found not in LOADERS):
        raise UnreadableFile(file=file.name.value, reason=f"it is {identify(head) or 'something else'}, not {expected}")
    return found


def load_as(extension: str, file: SourceFile) -> Document:
    """Read a file by what it is, and say so."""
    found = _loader(extension).load(file)
    shown = _SHOWN.get(extension, f"a file of the kind {extension}")
    note = f"its name ends in {file.name.extension} but it is {shown}; it was read as that"
    return replace(found, warnings=(note, *found.warnings))


def _loader(extension: str) -> Loader:
    if extension == SHEET_XML:
        from services.api.knowledge.loaders.legacy.sheet_xml import SheetXmlLoader

        return SheetXmlLoader()
    return LOADERS.build(extension)


def _by_streams(file: SourceFile) -> str | None:
    with open_container(file) as container:
        return next((extension for name, extension in _STREAMS.items() if name in container), None)


def _by_folder(file: SourceFile) -> str | None:
    with zipfile.ZipFile(file.path) as archive:
        names = archive.namelist()
    return next((extension for folder, extension in _FOLDERS.items() if any(map(folder.__eq__, _roots(names)))), None)


def _roots(names: list[str]) -> set[str]:
    return {name.partition("/")[0] + "/" for name in names}


def _by_text(head: bytes, named: str) -> str | None:
    """What a text is, by its beginning. Zero bytes mean that it is none, unless a mark says that it is UTF-16."""
    text = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    if text.startswith(b"{\\rtf"):
        return ".rtf"
    if b"\0" in head and not head.startswith(_MARKS):
        return None
    if text.startswith(b"<"):
        return _by_markup(text, named)
    return ".mht" if _MESSAGE.match(text) else _TEXTS.get(named)


def _by_markup(text: bytes, named: str) -> str | None:
    if text.startswith(b"<?xml") and _SHEET_XML in text and not re.search(rb"<html\b", text, re.IGNORECASE):
        return SHEET_XML
    if _WEB_PAGE.search(text):
        return ".html"
    return ".xml" if text.startswith(b"<?xml") else _TEXTS.get(named)
