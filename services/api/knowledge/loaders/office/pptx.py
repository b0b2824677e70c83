"""PowerPoint presentations: slide after slide, each with its notes and comments; the place is the slide's number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.knowledge.loaders.office.embedded import EmbeddedPictures
from services.api.knowledge.loaders.office.package import Package, local_name, opened
from services.api.knowledge.loaders.office.slides import SlideReader
from services.api.knowledge.loaders.reading.archives import check_archive
from services.api.knowledge.loaders.reading.content_type import require_office
from services.api.knowledge.loaders.reading.failures import check_size, reading
from services.api.knowledge.loaders.reading.outline import Outline
from services.api.knowledge.loaders.reading.streams import joined, stated

_EXPECTED = "a PowerPoint presentation"
_NO_OTHER = "; there is no other text in it"
_USUAL_MAIN = "ppt/presentation.xml"
_SLIDE_ID = "{http://schemas.openxmlformats.org/presentationml/2006/main}sldId"
_RELATION_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


class PptxLoader:
    """Reads .pptx, .pptm and .ppsx part by part: films are not unpacked into memory, broken links do no harm."""

    extensions: ClassVar[frozenset[str]] = frozenset({".pptx", ".pptm", ".ppsx"})

    def load(self, file: SourceFile) -> Document:
        return joined(file, self.parts(file))

    def parts(self, file: SourceFile) -> Iterator[Document]:
        with reading(file):
            check_size(file)
            require_office(file, _EXPECTED)
            check_archive(file, "ppt/", _EXPECTED)
            with opened(file) as package:
                warnings: list[str] = []
                yield from stated(file, _sections(file, package, warnings), warnings, added=_NO_OTHER)


def _sections(file: SourceFile, package: Package, warnings: list[str]) -> Iterator[Section]:
    """Slide after slide; what was not read is added to `warnings`."""
    main = package.related("", "officeDocument") or _USUAL_MAIN
    slides = _slides(package, main)
    pictures = EmbeddedPictures(file, package, lambda: file.report(number - 1, len(slides)))
    reader = SlideReader(package, _people(package, main), pictures)
    for number, part in enumerate(slides, start=1):
        outline = Outline(page=number)
        if part is None:
            warnings.append(f"slide {number} is missing from the file")
        else:
            reader.read(part, outline)
        yield from outline.finish()
        file.report(number, len(slides))
    warnings.extend(pictures.warnings())
    if reader.objects:
        warnings.append(f"{reader.objects} files embedded in the slides were not read")


def _slides(package: Package, main: str) -> list[str | None]:
    """The parts of the slides in the order of the show; None for one that is not there."""
    targets = package.targets(main)
    ids = dict.fromkeys(slide.get(_RELATION_ID, "") for slide in package.xml(main).iter(_SLIDE_ID))
    return [targets.get(name) for name in ids]


def _people(package: Package, main: str) -> dict[str, str]:
    """Who wrote comments, by the numbers that comments name them with."""
    parts = [relation.target for relation in package.relations(main) if relation.kind in {"commentAuthors", "authors"}]
    people = (person for part in parts for person in package.xml(part) if local_name(person) in {"cmAuthor", "author"})
    return {person.get("id", ""): person.get("name", "") for person in people}
