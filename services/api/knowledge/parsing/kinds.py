"""What a file is by its content, where the content declares it: names lie, and people rename. Used by `child`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import olefile

_HEAD_BYTES = 16
_SIGNATURES = (
    (b"%PDF-", ".pdf"),
    (b"{\\rtf", ".rtf"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF87a", ".gif"),
    (b"GIF89a", ".gif"),
    (b"II*\x00", ".tif"),
    (b"MM\x00*", ".tif"),
)
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAIN_PARTS = {"word/document.xml": ".docx", "xl/workbook.xml": ".xlsx", "ppt/presentation.xml": ".pptx"}
_MIME_TYPES = {
    b"application/epub+zip": ".epub",
    b"application/vnd.oasis.opendocument.text": ".odt",
    b"application/vnd.oasis.opendocument.spreadsheet": ".ods",
    b"application/vnd.oasis.opendocument.presentation": ".odp",
}
_STREAMS = (
    ("WordDocument", ".doc"),
    ("PowerPoint Document", ".ppt"),
    ("Workbook", ".xls"),
    ("Book", ".xls"),
    ("__properties_version1.0", ".msg"),
)


def content_extension(path: Path) -> str | None:
    """The usual extension of the format that a file's content declares.

    None when it declares none (text, mostly), or is too damaged to tell: whoever reads it by its name will say so.
    """
    with path.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
    if head.startswith(_ZIP):
        return _container_extension(path)
    if head.startswith(_OLE):
        return _compound_extension(path)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return ".webp"
    return next((extension for signature, extension in _SIGNATURES if head.startswith(signature)), None)


def _container_extension(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "mimetype" in names:
                with archive.open("mimetype") as part:
                    return _MIME_TYPES.get(part.read(100).strip())
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError):  # damaged, encrypted, odd
        return None
    kinds = {_MAIN_PARTS[name] for name in names if name in _MAIN_PARTS}
    return kinds.pop() if len(kinds) == 1 else None


def _compound_extension(path: Path) -> str | None:
    try:
        with olefile.OleFileIO(path) as compound:
            return next((extension for stream, extension in _STREAMS if compound.exists(stream)), None)
    except (OSError, IndexError, ValueError):  # its own failures are OSErrors
        return None
