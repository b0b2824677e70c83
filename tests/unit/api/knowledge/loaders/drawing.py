"""Draws the pictures the OCR tests read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

CHINESE_FONT = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
SIZE = 30


def font(size: int = SIZE) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.truetype(CHINESE_FONT, size) if CHINESE_FONT.exists() else ImageFont.load_default(size)


def drawn(lines: Sequence[str], size: tuple[int, int] = (620, 220)) -> Image.Image:
    """Black lines on white."""
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        pen.text((30, 20 + 60 * number), line, fill="black", font=font())
    return picture


def drawn_table(rows: Sequence[Sequence[str]], cell: tuple[int, int] = (200, 60)) -> Image.Image:
    """A table with all its rulings."""
    wide, high = cell
    picture = Image.new("RGB", (wide * len(rows[0]) + 40, high * len(rows) + 40), "white")
    pen = ImageDraw.Draw(picture)
    for y, row in enumerate(rows):
        for x, text in enumerate(row):
            corner = (20 + wide * x, 20 + high * y)
            pen.rectangle((*corner, corner[0] + wide, corner[1] + high), outline="black", width=2)
            pen.text((corner[0] + 16, corner[1] + 12), text, fill="black", font=font(26))
    return picture
