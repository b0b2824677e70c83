"""Pictures → Document: the text in them, read by OCR; the pages of a TIFF are pages."""

from __future__ import annotations

from typing import ClassVar

from services.api.domain.knowledge import Document, SourceFile
from services.api.knowledge.loaders.pictures.cache import PictureReader
from services.api.knowledge.loaders.pictures.frames import frame_limit, frames, has_more, opened
from services.api.knowledge.loaders.pictures.lines import add, blocks
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.outline import Outline

_EMPTY = "no text was found in the picture"


class PictureLoader:
    """Reads .png, .jpg, .bmp, .webp, .tif and .gif."""

    extensions: ClassVar[frozenset[str]] = frozenset(
        {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
    )

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            outline = Outline()
            silent: list[int] = []
            with opened(file) as picture:
                limit = frame_limit(picture)
                done, total = 0, None if limit > 1 else 1
                reader = PictureReader(file.cache, lambda: file.report(done, total))
                for number, pixels in enumerate(frames(file, picture), start=1):
                    found = blocks(reader.read(pixels))
                    if limit > 1:
                        outline.turn_to(number)
                    add(found, outline)
                    if not found:
                        silent.append(number)
                    done = number
                    file.report(done, total)
                warnings = [f"no text was found on page {number}" for number in silent] if limit > 1 else []
                if has_more(picture):
                    warnings.append(f"only the first {limit} pages or frames were read")
            return document(file, outline.finish(), warnings, empty=_EMPTY)
