"""Pictures in sizes the recognition can bear: scaled, trimmed to what is drawn, cut into bands between lines."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from services.api.knowledge.loaders.pictures.ocr import Pixels

BAND_PIXELS = 2_200_000
"""An A4 page at 150 dpi: seconds of work and about 0.6 GB of memory."""
_WIDEST = 2500
_MOST_PIXELS = 30_000_000
_LEAST_SIDE = 736  # the detector enlarges what is smaller, without a limit on the other side
_ENLARGEMENT = 2.0
_CONTRAST = 40
_MARGIN = 32
_SMALLEST = 8
_WINDOW = 0.15


def fitted(pixels: Pixels) -> Pixels | None:
    """The picture in a size to be read, without empty margins; None when nothing is drawn in it."""
    import cv2

    height, width = pixels.shape[:2]
    factor = min(1.0, _WIDEST / width, math.sqrt(_MOST_PIXELS / (width * height)))
    if min(width, height) < _LEAST_SIDE:
        factor = min(_ENLARGEMENT, _LEAST_SIDE / min(width, height), factor * math.sqrt(BAND_PIXELS / (width * height)))
    if factor != 1:
        size = (max(round(width * factor), 1), max(round(height * factor), 1))
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=method), dtype=np.uint8)
    drawn = _trimmed(pixels)
    return None if drawn is None else _padded(drawn)


def bands(pixels: Pixels) -> Iterator[tuple[int, Pixels]]:
    """The picture in bands of like height and bounded size, each with its first row; cut where the least is drawn."""
    height, width = pixels.shape[:2]
    count = math.ceil(height * width / BAND_PIXELS)
    reach = int(height / count * _WINDOW)
    start = 0
    for number in range(1, count):
        first = height * number // count - reach
        end = first + _emptiest(pixels[first : first + 2 * reach])
        yield start, pixels[start:end]
        start = end
    yield start, pixels[start:]


def _emptiest(rows: Pixels) -> int:
    grey = rows.mean(axis=2)
    change = np.abs(np.diff(grey, axis=1)).mean(axis=1)
    around = np.convolve(change, np.ones(9), mode="same")
    inner = around[4:-4]
    return int(np.argmin(inner)) + 4


def _trimmed(pixels: Pixels) -> Pixels | None:
    grey = pixels.max(axis=2).astype(np.int16)
    drawn = np.abs(grey - int(np.median(grey))) > _CONTRAST
    grey = pixels.min(axis=2).astype(np.int16)
    drawn |= np.abs(grey - int(np.median(grey))) > _CONTRAST
    down, across = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    if len(down) == 0 or max(down[-1] - down[0], across[-1] - across[0]) < _SMALLEST:
        return None
    top, left = max(down[0] - _MARGIN, 0), max(across[0] - _MARGIN, 0)
    return pixels[top : down[-1] + _MARGIN, left : across[-1] + _MARGIN]


def _padded(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    if min(height, width) >= _LEAST_SIDE:
        return np.ascontiguousarray(pixels)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    canvas = np.empty((max(height, _LEAST_SIDE), max(width, _LEAST_SIDE), 3), dtype=np.uint8)
    canvas[:] = np.median(edge, axis=0).astype(np.uint8)
    canvas[:height, :width] = pixels
    return canvas
