"""Every loader on the shelf against the loader contract."""

from __future__ import annotations

from pathlib import Path

import docx
import openpyxl
import pytest

from services.api.knowledge.loaders import LOADERS, supported_extensions
from tests.contract.loader import WORDS, LoaderContract
from tests.unit.api.knowledge.loaders.making import lines_of_text, pdf


class _OnShelf(LoaderContract):
    @pytest.fixture
    def loader(self):
        return LOADERS.build(self.extension)


class TestPlain(_OnShelf):
    extension = ".txt"

    def write(self, path: Path) -> None:
        path.write_text("\n\n".join(WORDS), encoding="utf-8")


class TestMarkdown(_OnShelf):
    extension = ".md"

    def write(self, path: Path) -> None:
        path.write_text(f"# Title\n\n{WORDS[0]}\n\n| {WORDS[1]} |\n|---|\n| 1 |\n\n- {WORDS[2]}\n", encoding="utf-8")


class TestHtml(_OnShelf):
    extension = ".html"

    def write(self, path: Path) -> None:
        path.write_text(f"<h1>{WORDS[0]}</h1><p>{WORDS[1]}<p>{WORDS[2]}", encoding="utf-8")

    def write_empty(self, path: Path) -> None:
        path.write_text("<html><body><script>var a = 1</script></body></html>", encoding="utf-8")


class TestCsv(_OnShelf):
    extension = ".csv"

    def write(self, path: Path) -> None:
        path.write_text("name,text\n" + "".join(f"row,{word}\n" for word in WORDS), encoding="utf-8")

    def write_empty(self, path: Path) -> None:
        path.write_text(",,\n,,\n", encoding="utf-8")


class TestTsv(TestCsv):
    extension = ".tsv"

    def write(self, path: Path) -> None:
        path.write_text("name\ttext\n" + "".join(f"row\t{word}\n" for word in WORDS), encoding="utf-8")

    def write_empty(self, path: Path) -> None:
        path.write_text("\t\t\n\t\t\n", encoding="utf-8")


class TestXlsx(_OnShelf):
    extension = ".xlsx"

    def write(self, path: Path) -> None:
        book = openpyxl.Workbook()
        for row in (("name", "text"), *(("row", word) for word in WORDS)):
            book.active.append(row)
        book.save(path)

    def write_empty(self, path: Path) -> None:
        openpyxl.Workbook().save(path)


class TestDocx(_OnShelf):
    extension = ".docx"

    def write(self, path: Path) -> None:
        word = docx.Document()
        for text in WORDS:
            word.add_paragraph(text)
        word.save(str(path))

    def write_empty(self, path: Path) -> None:
        docx.Document().save(str(path))


class TestPdf(_OnShelf):
    extension = ".pdf"
    words = (WORDS[0], WORDS[2])

    def write(self, path: Path) -> None:
        path.write_bytes(pdf([lines_of_text([WORDS[0]]), lines_of_text([WORDS[2]])]))

    def write_empty(self, path: Path) -> None:
        path.write_bytes(pdf(["0 0 m 10 10 l S"]))


def test_every_line_of_the_shelf_claims_its_extension():
    for extension in supported_extensions():
        assert extension in LOADERS.load(extension).extensions
