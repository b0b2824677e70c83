"""The pictures inside a document, read where they stand. The loaders of slides and Word documents call it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from services.api.domain.knowledge import SourceFile
from services.api.knowledge.loaders.office.package import Package
from services.api.knowledge.loaders.reading.outline import Outline
from services.foundation.errors import UnreadableFile

if TYPE_CHECKING:
    from services.api.knowledge.loaders.pictures.cache import PictureReader

_READ_LIMIT = 200
_ABSENT = "not in the file"
_PICTURE_BYTES = 30_000_000
_ALL_BYTES = 200_000_000
_BEYOND = f"reading them stops after {_READ_LIMIT}, or after {_ALL_BYTES // 1_000_000} MB"
_TOO_LARGE = f"more than {_PICTURE_BYTES // 1_000_000} MB"
_FOREIGN = "damaged, too large or of a kind that is not read, such as EMF"


class EmbeddedPictures:
    """Reads the pictures of one document, each once: the logo on every slide is read with the first.

    Small ones are decoration, and passed over.

    Args:
        file: the document.
        package: holds the pictures as parts.
        heard: called now and then while one is read.
    """

    def __init__(self, file: SourceFile, package: Package, heard: Callable[[], None]) -> None:
        self._file = file
        self._package = package
        self._heard = heard
        self._met: set[str] = set()
        self._reader: PictureReader | None = None
        self._bytes = 0
        self._unread = Counter[str]()

    def read(self, part: str | None, outline: Outline) -> None:
        """Add what a picture says, if it says anything and was not met before; None: the document does not hold it."""
        if part is None:
            self._unread[_ABSENT] += 1
            return
        if part in self._met:
            return
        self._met.add(part)
        size = self._package.size(part)
        if size > _PICTURE_BYTES:
            self._unread[_TOO_LARGE] += 1
        elif self._bytes + size > _ALL_BYTES:
            self._unread[_BEYOND] += 1
        else:
            self._bytes += size
            self._recognise(self._package.read(part), outline)

    def warnings(self) -> Iterator[str]:
        """Sentences about those that were not read."""
        for reason, count in self._unread.items():
            yield f"text inside {count} {'picture' if count == 1 else 'pictures'} was not read: {reason}"

    def _recognise(self, content: bytes, outline: Outline) -> None:
        # Most documents hold no picture, and need none of this.
        from services.api.knowledge.loaders.pictures.cache import PictureReader
        from services.api.knowledge.loaders.pictures.frames import embedded
        from services.api.knowledge.loaders.pictures.lines import add, blocks

        try:
            pixels = embedded(self._file, content)
        except UnreadableFile:
            self._unread[_FOREIGN] += 1
            return
        if pixels is None:
            return
        if self._reader is None:
            self._reader = PictureReader(self._file.cache, self._heard)
        if self._reader.recognised >= _READ_LIMIT and self._reader.known(pixels) is None:
            self._unread[_BEYOND] += 1
            return
        add(blocks(self._reader.read(pixels)), outline)
