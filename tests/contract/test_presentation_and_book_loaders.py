"""The loaders of presentations, OpenDocument files and books against the loader contract."""

from __future__ import annotations

import html
from pathlib import Path

import docx
import pytest
from pptx import Presentation

from services.api.knowledge.loaders import LOADERS
from tests.contract.loader import WORDS, LoaderContract
from tests.unit.api.knowledge.loaders.containers import book, open_document, paragraphs, sheet, slide_page


class _OnShelf(LoaderContract):
    @pytest.fixture
    def loader(self):
        return LOADERS.build(self.extension)


class TestPptx(_OnShelf):
    extension = ".pptx"

    def write(self, path: Path) -> None:
        show = Presentation()
        for text in WORDS:
            show.slides.add_slide(show.slide_layouts[5]).shapes.title.text = text
        show.save(str(path))

    def write_empty(self, path: Path) -> None:
        show = Presentation()
        show.slides.add_slide(show.slide_layouts[6])
        show.save(str(path))


class TestPptm(TestPptx):
    extension = ".pptm"


class TestPpsx(TestPptx):
    extension = ".ppsx"


class TestDocm(_OnShelf):
    extension = ".docm"

    def write(self, path: Path) -> None:
        word = docx.Document()
        for text in WORDS:
            word.add_paragraph(text)
        word.save(str(path))

    def write_empty(self, path: Path) -> None:
        docx.Document().save(str(path))


class TestOdt(_OnShelf):
    extension = ".odt"

    def write(self, path: Path) -> None:
        open_document(path, "text", paragraphs(*WORDS))

    def write_empty(self, path: Path) -> None:
        open_document(path, "text", "<text:p/>")


class TestOds(_OnShelf):
    extension = ".ods"

    def write(self, path: Path) -> None:
        open_document(path, "spreadsheet", sheet("表", [["name", "text"], *(["row", word] for word in WORDS)]))

    def write_empty(self, path: Path) -> None:
        open_document(path, "spreadsheet", sheet("表", []))


class TestOdp(_OnShelf):
    extension = ".odp"

    def write(self, path: Path) -> None:
        open_document(path, "presentation", "".join(slide_page([(0, 0, word)]) for word in WORDS))

    def write_empty(self, path: Path) -> None:
        open_document(path, "presentation", "<draw:page/>")


class TestEpub(_OnShelf):
    extension = ".epub"

    def write(self, path: Path) -> None:
        book(path, {f"{number}.xhtml": f"<p>{html.escape(word)}</p>" for number, word in enumerate(WORDS)})

    def write_empty(self, path: Path) -> None:
        book(path, {"a.xhtml": "<p> </p>"})
