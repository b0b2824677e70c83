"""What a file really is, by its first bytes. One whose content contradicts its name is refused, saying what it is."""

from __future__ import annotations

from services.api.domain.knowledge import SourceFile
from services.foundation.errors import EncryptedFile, UnreadableFile

_HEAD_BYTES = 4096
_PDF_WITHIN_BYTES = 1024
_SIGNATURES = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or an Office file"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office file of the old format or a protected one"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF87a", "a GIF picture"),
    (b"GIF89a", "a GIF picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"{\\rtf", "an RTF document"),
    (b"SQLite format 3\x00", "a database"),
    (b"OggS", "a sound file"),
    (b"ID3", "a sound file"),
)


def identify(head: bytes) -> str | None:
    """What the first bytes say the file is, or None when they look like no binary format we know."""
    if head.startswith(b"MZ") and b"\x00" in head[:256]:
        return "a Windows program"
    if head[4:8] == b"ftyp":
        return "a video"
    return next((name for signature, name in _SIGNATURES if head.startswith(signature)), None)


def require_text(file: SourceFile) -> None:
    """Refuse a file that is of a known binary format."""
    found = identify(_head(file))
    if found is not None:
        raise UnreadableFile(file=file.name.value, reason=f"it is {found}, not text")


def require_pdf(file: SourceFile) -> None:
    """Refuse what has no PDF header near its beginning; junk before the header is common and allowed."""
    head = _head(file)
    if b"%PDF-" not in head[:_PDF_WITHIN_BYTES]:
        raise UnreadableFile(file=file.name.value, reason=f"it is {identify(head) or 'something else'}, not a PDF")


def require_office(file: SourceFile, expected: str) -> None:
    """Refuse what is not a ZIP container; say so when it is an encrypted one.

    Args:
        file: the file.
        expected: what it should be, for the message ("a Word document").
    """
    head = _head(file)
    if head.startswith(b"\xd0\xcf\x11\xe0") and _is_encrypted_container(file):
        raise EncryptedFile(file=file.name.value)
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        raise UnreadableFile(file=file.name.value, reason=f"it is {identify(head) or 'something else'}, not {expected}")


def _is_encrypted_container(file: SourceFile) -> bool:
    with file.path.open("rb") as handle:
        start = handle.read(1 << 20)
        size = handle.seek(0, 2)
        handle.seek(max(0, size - (1 << 20)))
        end = handle.read()
    name = "EncryptedPackage".encode("utf-16-le")
    return name in start or name in end


def _head(file: SourceFile) -> bytes:
    with file.path.open("rb") as handle:
        return handle.read(_HEAD_BYTES)
