"""Makes presentations, OpenDocument files, books and other archives of parts for the loader tests."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

_OASIS = "urn:oasis:names:tc:opendocument:xmlns"
_SPACES = " ".join(
    f'xmlns:{prefix}="{_OASIS}:{name}:1.0"'
    for prefix, name in {
        "office": "office",
        "text": "text",
        "table": "table",
        "draw": "drawing",
        "style": "style",
        "presentation": "presentation",
        "svg": "svg-compatible",
    }.items()
)
SPACES = f'{_SPACES} xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xlink="http://www.w3.org/1999/xlink"'


DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
OFFICE_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def packed(path: Path, parts: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def open_document(path: Path, kind: str, body: str, styles: str = "", parts: Mapping[str, str] | None = None) -> Path:
    content = (
        f"<office:document-content {SPACES}><office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    )
    kind_of_file = f"application/vnd.oasis.opendocument.{kind}"
    return packed(path, {"mimetype": kind_of_file, "content.xml": content, **(parts or {})})


def paragraphs(*texts: str) -> str:
    return "".join(f"<text:p>{text}</text:p>" for text in texts)


def sheet(name: str, rows: Sequence[Sequence[str]]) -> str:
    cells = ("".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in row) for row in rows)
    inner = "".join(f"<table:table-row>{row}</table:table-row>" for row in cells)
    return f'<table:table table:name="{name}">{inner}</table:table>'


def slide_page(frames: Sequence[tuple[float, float, str]], more: str = "") -> str:
    """A slide with texts at these heights and distances from the left, in centimetres."""
    shown = "".join(
        f'<draw:frame svg:y="{top}cm" svg:x="{left}cm"><draw:text-box>{paragraphs(text)}</draw:text-box></draw:frame>'
        for top, left, text in frames
    )
    return f"<draw:page>{shown}{more}</draw:page>"


def book(
    path: Path,
    pages: Mapping[str, str],
    more: Mapping[str, str | bytes] | None = None,
    manifest: str = "",
    title: str = "书",
) -> Path:
    """A book in whose reading order these bodies of pages stand."""
    items = "".join(f'<item id="{name}" href="{name}" media-type="application/xhtml+xml"/>' for name in pages)
    spine = "".join(f'<itemref idref="{name}"/>' for name in pages)
    parts: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></metadata>'
        f"<manifest>{items}{manifest}</manifest><spine>{spine}</spine></package>",
    }
    shown = {
        f"OEBPS/{name}": f'<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml">'
        f"<head><title/></head><body>{body}</body></html>"
        for name, body in pages.items()
        if not name.startswith("..")
    }
    return packed(path, parts | shown | dict(more or {}))


def with_lying_directory(path: Path, name: str, content: bytes, said_bytes: int) -> Path:
    """Add a member to an archive; then let its directory say that the member has few bytes, with their checksum."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
        member = archive.getinfo(name)
        packed_bytes, true_bytes = member.compress_size, member.file_size
    truth = struct.pack("<LLL", zlib.crc32(content), packed_bytes, true_bytes)
    lie = struct.pack("<LLL", zlib.crc32(content[:said_bytes]), packed_bytes, said_bytes)
    path.write_bytes(path.read_bytes().replace(truth, lie))
    return path


def relations(*links):
    shown = "".join(f'<Relationship Id="{name}" Type="{kind}" Target="{target}"/>' for name, kind, target in links)
    return (
        f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{shown}</Relationships>'
    )


def slide(shapes):
    return (
        f'<p:sld xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" xmlns:a="{DRAWING}" '
        'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
        'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
        'xmlns:a14="http://schemas.microsoft.com/office/drawing/2010/main">'
        f"<p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"
    )


def shape(paragraph, kind=""):
    holder = f'<p:ph type="{kind}"/>' if kind else ""
    return f"<p:sp><p:nvSpPr><p:nvPr>{holder}</p:nvPr></p:nvSpPr><p:txBody><a:p>{paragraph}</a:p></p:txBody></p:sp>"


def run(text):
    return f"<a:r><a:t>{text}</a:t></a:r>"


def presentation(path, slides, parts=()):
    numbers = range(1, len(slides) + 1)
    ids = "".join(f'<p:sldId r:id="r{number}"/>' for number in numbers)
    main = (
        f'<p:presentation xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
        f'xmlns:r="{OFFICE_RELATIONS}"><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>'
    )
    links = [(f"r{number}", f"{OFFICE_RELATIONS}/slide", f"slides/slide{number}.xml") for number in numbers]
    links += [
        ("c", f"{OFFICE_RELATIONS}/commentAuthors", "commentAuthors.xml"),
        ("t", "http://schemas.microsoft.com/office/2018/10/relationships/authors", "authors.xml"),
    ]
    shown = {f"ppt/slides/slide{number}.xml": text for number, text in zip(numbers, slides, strict=True) if text}
    return packed(
        path,
        {"ppt/presentation.xml": main, "ppt/_rels/presentation.xml.rels": relations(*links)} | shown | dict(parts),
    )


def places(document):
    return [(section.text, section.place.page, section.place.heading) for section in document.sections]
