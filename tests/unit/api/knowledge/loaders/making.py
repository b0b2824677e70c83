"""Makes the files the loader tests read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.api.domain.knowledge import Document, SourceFile
from services.api.domain.names import FileName
from services.api.knowledge.loaders import LOADERS


def source(path: Path) -> SourceFile:
    return SourceFile(FileName.parse(path.name), path)


def load(path: Path) -> Document:
    file = source(path)
    return LOADERS.build(file.name.extension).load(file)


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def texts(document: Document) -> list[str]:
    return [section.text for section in document.sections]


def lines_of_text(lines: Sequence[str], top: int = 750) -> str:
    """The content stream of a page with these lines."""
    shown = "".join(f"({line}) Tj 0 -14 Td " for line in lines)
    return f"BT /F1 10 Tf 60 {top} Td {shown} ET"


def pdf(pages: Sequence[str]) -> bytes:
    """A PDF whose pages have the given content streams."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, content in enumerate(pages):
        resources = "/Resources << /Font << /F1 3 0 R >> >> /MediaBox [0 0 600 800]"
        objects.append(f"<< /Type /Page /Parent 2 0 R {resources} /Contents {5 + 2 * number} 0 R >>")
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    body, offsets = "%PDF-1.4\n", []
    for number, text in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    start = len(body)
    body += f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n"
    return (body + "%%EOF\n").encode("latin-1")


def ruled_table(rows: Sequence[Sequence[str]], *, left: int = 60, top: int = 600) -> str:
    """A content stream that draws a table with all its rulings."""
    height, width = 20, 120
    bottom, right = top - height * len(rows), left + width * len(rows[0])
    parts = [f"{left} {top - height * n} m {right} {top - height * n} l S" for n in range(len(rows) + 1)]
    parts += [f"{left + width * n} {top} m {left + width * n} {bottom} l S" for n in range(len(rows[0]) + 1)]
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            x, y = left + width * column + 4, top - height * (number + 1) + 6
            parts.append(f"BT /F1 10 Tf {x} {y} Td ({text}) Tj ET")
    return "\n".join(parts)
