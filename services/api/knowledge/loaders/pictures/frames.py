"""Opens picture files with Pillow: limits checked from the header, few frames, upright by their EXIF note, on white."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from services.api.domain.knowledge import SourceFile
from services.api.knowledge.loaders.pictures.ocr import Pixels
from services.api.knowledge.loaders.reading.content_type import identify
from services.api.knowledge.loaders.reading.failures import reading
from services.foundation.errors import UnreadableFile

if TYPE_CHECKING:
    from PIL import Image

PIXEL_LIMIT = 100_000_000
"""More is refused unread: one picture of this size takes 0.3 GB."""
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF")
_PAGE_LIMIT = 100
_FRAME_LIMIT = 5
_HEAD_BYTES = 64
_LEAST_SIDE = 40
_LEAST_PIXELS = 40_000
_DRAFT = (2500, 2500)


@contextmanager
def opened(file: SourceFile, content: bytes | None = None) -> Iterator[Image.Image]:
    """The picture, nothing of it decoded yet; `content` when it stands inside the file.

    Raises:
        UnreadableFile: it is no picture of a kind we read, or too large.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file.path if content is None else BytesIO(content), formats=_FORMATS) as picture:
            yield picture
    except Image.DecompressionBombError as refused:
        raise _too_large(file) from refused
    except UnidentifiedImageError as refused:
        found = identify(_head(file) if content is None else content[:_HEAD_BYTES])
        raise UnreadableFile(
            file=file.name.value,
            reason=f"it is {found}, damaged or of no readable kind" if found else "it is no picture",
        ) from refused


def embedded(file: SourceFile, content: bytes) -> Pixels | None:
    """The first frame of a picture that stands inside a document; None for one too small to hold text.

    Raises:
        UnreadableFile: it is damaged, too large, or of no kind we read.
    """
    with reading(file), opened(file, content) as picture:
        if min(picture.size) < _LEAST_SIDE or picture.width * picture.height < _LEAST_PIXELS:
            return None
        return next(frames(file, picture), None)


def _head(file: SourceFile) -> bytes:
    with file.path.open("rb") as handle:
        return handle.read(_HEAD_BYTES)


def frame_limit(picture: Image.Image) -> int:
    """How many frames are read: the pages of a TIFF, but only the beginning of a moving picture."""
    if picture.format == "TIFF":
        return _PAGE_LIMIT
    return _FRAME_LIMIT if getattr(picture, "is_animated", False) and picture.format != "MPO" else 1


def frames(file: SourceFile, picture: Image.Image) -> Iterator[Pixels]:
    """The frames that are read, one after the other; the picture is closed when there is but one."""
    limit = frame_limit(picture)
    for number in range(limit):
        try:
            picture.seek(number)
        except EOFError:
            return
        if picture.width * picture.height > PIXEL_LIMIT:
            raise _too_large(file)
        pixels = _pixels(picture)
        if limit == 1:
            picture.close()  # its own copy of the pixels would be held while they are read
        yield pixels


def has_more(picture: Image.Image) -> bool:
    """Whether frames follow those that are read."""
    limit = frame_limit(picture)
    if limit == 1:
        return False
    try:
        picture.seek(limit)
    except EOFError:
        return False
    return True


def _pixels(picture: Image.Image) -> Pixels:
    from PIL import Image, ImageOps

    picture.draft("RGB", _DRAFT)  # a JPEG is decoded smaller when it stays large enough to read
    frame = ImageOps.exif_transpose(picture)
    if frame.mode.startswith(("I", "F")):
        frame = _stretched(frame)
    if frame.has_transparency_data:
        paper = Image.new("RGBA", frame.size, "white")
        frame = Image.alpha_composite(paper, frame.convert("RGBA"))
    return np.ascontiguousarray(np.asarray(frame.convert("RGB"))[:, :, ::-1])


def _stretched(frame: Image.Image) -> Image.Image:
    """Grey values of more than eight bits, from the darkest to the lightest."""
    from PIL import Image

    values = np.nan_to_num(np.asarray(frame, dtype=np.float32))
    low, high = float(values.min()), float(values.max())
    return Image.fromarray(((values - low) * (255 / max(high - low, 1e-6))).astype(np.uint8))


def _too_large(file: SourceFile) -> UnreadableFile:
    reason = f"it has more than {PIXEL_LIMIT // 1_000_000} million pixels; make it smaller"
    return UnreadableFile(file=file.name.value, reason=reason)
