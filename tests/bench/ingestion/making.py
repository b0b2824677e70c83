"""Files for the benches of speed and size, made of the corpora's texts. A page is about 1,800 characters."""

from __future__ import annotations

import io
import itertools
import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import docx
import pypdfium2
from PIL import Image

from tests.conftest import CORPORA

DOCUMENTS = CORPORA / "documents"
PAGE_CHARS = 1800
_SCAN_DPI = 200
_LINE = {"en": 95, "zh": 45}
_LINES_ABOVE_TABLE = 40
_FONTS = (
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    (
        "<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UCS2-H /DescendantFonts "
        "[<< /Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light /CIDSystemInfo << /Registry (Adobe) "
        "/Ordering (GB1) /Supplement 4 >> /DW 1000 /FontDescriptor << /Type /FontDescriptor /FontName /STSong-Light "
        "/Flags 4 /FontBBox [-25 -254 1000 880] /ItalicAngle 0 /Ascent 880 /Descent -120 /CapHeight 880 /StemV 93 "
        ">> >>] >>"
    ),
)


def english() -> Iterator[str]:
    """Paragraphs of a novel, over and over; each time round they say which, so that none is the same."""
    text = (DOCUMENTS / "txt" / "en_war_and_peace_3mb.txt").read_text(encoding="utf-8").replace("\r\n", "\n")
    ascii_only = text.encode("ascii", "ignore").decode()
    found = [" ".join(part.split()) for part in re.split(r"\n\s*\n", ascii_only) if len(part) > 40]
    for turn in itertools.count():
        yield from (part if not turn else f"({turn}) {part}" for part in found)


def chinese() -> Iterator[str]:
    """Paragraphs of an encyclopaedia, over and over."""
    lines = (CORPORA / "retrieval" / "cmrc2018_dev" / "passages.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line)["text"].replace("\n", " ") for line in lines]
    for turn in itertools.count():
        yield from (part if not turn else f"({turn}) {part}" for part in found)


def pages(paragraphs: Iterator[str], count: int) -> list[str]:
    """So many pages of running text; paragraphs are taken whole."""
    made = []
    for _ in range(count):
        held, size = [], 0
        while size < PAGE_CHARS:
            held.append(next(paragraphs)[:PAGE_CHARS])
            size += len(held[-1])
        made.append("\n".join(held))
    return made


def written_docx(path: Path, texts: Sequence[str]) -> Path:
    """A Word file: a heading before each page's paragraphs."""
    made = docx.Document()
    for number, text in enumerate(texts, start=1):
        made.add_heading(f"Part {number}", level=1)
        for paragraph in text.split("\n"):
            made.add_paragraph(paragraph)
    made.save(str(path))
    return path


def written_pdf(path: Path, texts: Sequence[str], language: str, *, table_every: int = 0) -> Path:
    """A PDF with a text layer, a page a text; every `table_every`-th page ends in a ruled table."""
    streams = []
    for number, text in enumerate(texts, start=1):
        lines = [line for paragraph in text.split("\n") for line in _lines(paragraph, language)]
        has_table = bool(table_every) and number % table_every == 0
        stream = _shown(lines[: _LINES_ABOVE_TABLE if has_table else None], language)
        stream += _ruled(number) if has_table else ""
        streams.append(stream.encode("latin-1"))
    path.write_bytes(_pdf(streams))
    return path


def _lines(paragraph: str, language: str) -> list[str]:
    if language == "en":
        return textwrap.wrap(paragraph, _LINE["en"])
    return [paragraph[start : start + _LINE["zh"]] for start in range(0, len(paragraph), _LINE["zh"])]


def _shown(lines: Sequence[str], language: str) -> str:
    font, leading = ("/F1 9 Tf", 11) if language == "en" else ("/F2 10 Tf", 13)
    told = "".join(f"{_string(line, language)} Tj 0 -{leading} Td\n" for line in lines)
    return f"BT {font} 50 820 Td\n{told}ET\n"


def _string(line: str, language: str) -> str:
    if language == "en":
        return "(" + re.sub(r"([\\()])", r"\\\1", line) + ")"
    within = "".join(char if ord(char) < 0x10000 else "?" for char in line)
    return f"<{within.encode('utf-16-be').hex()}>"


def _ruled(number: int) -> str:
    rules = [f"50 {90 - 20 * row} m 450 {90 - 20 * row} l S" for row in range(4)]
    rules += [f"{50 + 100 * column} 90 m {50 + 100 * column} 30 l S" for column in range(5)]
    names = ("Item", number * 10 + 1, number * 10 + 2)
    cells = [
        f"BT /F1 9 Tf {54 + 100 * column} {76 - 20 * row} Td ({name} {column}) Tj ET"
        for row, name in enumerate(names)
        for column in range(4)
    ]
    return "\n".join([*rules, *cells]) + "\n"


def _pdf(streams: Sequence[bytes]) -> bytes:
    kids = " ".join(f"{5 + 2 * number} 0 R" for number in range(len(streams)))
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(streams)} >>".encode(),
        *(font.encode() for font in _FONTS),
    ]
    for number, stream in enumerate(streams):
        fonts = "/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> /MediaBox [0 0 595 842]"
        bodies.append(f"<< /Type /Page /Parent 2 0 R {fonts} /Contents {6 + 2 * number} 0 R >>".encode())
        bodies.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    out, offsets = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, body in enumerate(bodies, start=1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start, size = out.tell(), len(bodies) + 1
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % size)
    out.write(b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    out.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, start))
    return out.getvalue()


def scanned(path: Path, source: Path, wanted: Sequence[int]) -> Path:
    """A PDF of pictures: pages of a real one (numbered from 0) rendered at 200 dpi on A4."""
    pdf = pypdfium2.PdfDocument(source)
    made = []
    for index in wanted:
        width, height = pdf[index].get_size()
        image = pdf[index].render(scale=_SCAN_DPI / 72 * min(595 / width, 842 / height)).to_pil().convert("RGB")
        page = Image.new("RGB", (round(595 * _SCAN_DPI / 72), round(842 * _SCAN_DPI / 72)), "white")
        page.paste(image, (0, 0))
        made.append(page)
    pdf.close()
    made[0].save(path, "PDF", resolution=_SCAN_DPI, save_all=True, append_images=made[1:], quality=80)
    return path


def written_csv(path: Path, rows: int, language: str = "en") -> Path:
    """A table of orders: six columns, about 75 characters a row (40 in Chinese)."""
    is_english = language == "en"
    cities = ("Hamburg", "Lisbon", "Osaka", "Quito", "Tromso") if is_english else ("汉堡", "里斯本", "大阪", "基多")
    goods = ("lantern", "harbour chart", "walnut desk", "velvet rope") if is_english else ("灯笼", "海图", "书桌")
    header = "order,date,city,article,amount,remark" if is_english else "单号,日期,城市,商品,金额,备注"
    remark = "delivered to the reception" if is_english else "已送到前台，由同事签收"
    with path.open("w", encoding="utf-8", newline="") as handle:
        handle.write(f"{header}\n")
        for number in range(1, rows + 1):
            city, article = cities[number % len(cities)], goods[number % len(goods)]
            day = f"2026-{number % 12 + 1:02}-{number % 28 + 1:02}"
            amount = f"{number % 977}.{number % 90 + 10}"
            handle.write(f"A{number:07},{day},{city},{article},{amount},{remark} {number % 31}\n")
    return path
