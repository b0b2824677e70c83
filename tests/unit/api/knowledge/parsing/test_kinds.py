"""What a file is by its content, and which loader that gives it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from services.api.knowledge.parsing.child import loader_for
from services.api.knowledge.parsing.kinds import content_extension
from tests.contract.parser import written
from tests.unit.api.knowledge.loaders.making import lines_of_text, pdf


def container(**members: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "extension"),
    [
        (b"%PDF-1.7\n", ".pdf"),
        (b"{\\rtf1\\ansi hello}", ".rtf"),
        (b"\x89PNG\r\n\x1a\n....", ".png"),
        (b"\xff\xd8\xff\xe0", ".jpg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", ".webp"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None),
        (container(**{"word/document.xml": "x"}), ".docx"),
        (container(**{"xl/workbook.xml": "x", "word/../../x.txt": "x"}), ".xlsx"),
        (container(**{"ppt/presentation.xml": "x"}), ".pptx"),
        (container(**{"ppt/presentation.xml": "x", "word/document.xml": "x"}), None),
        (container(mimetype="application/epub+zip"), ".epub"),
        (container(mimetype="application/vnd.oasis.opendocument.text"), ".odt"),
        (container(**{"mimetype": "application/x-other", "word/document.xml": "x"}), None),
        (container(anything="x"), None),
        (b"PK\x03\x04 and then nothing", None),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, None),
        ("年假五天".encode(), None),
        (b"<html><!-- %PDF-1.4 -->", None),
        (b"", None),
    ],
)
def test_the_content_tells_or_does_not(tmp_path: Path, content: bytes, extension: str | None):
    assert content_extension(written(tmp_path, "a.bin", content).path) == extension


def test_a_file_under_a_wrong_name_is_read_as_what_it_is_and_says_so(tmp_path: Path):
    loader, notes = loader_for(written(tmp_path, "合同.docx", pdf([lines_of_text(["page one"])])))
    assert type(loader).__name__ == "PdfLoader"
    assert notes == ("its name ends in .docx, but it is a .pdf file, and was read as one",)


def test_a_file_under_its_own_name_is_read_without_a_word(tmp_path: Path):
    loader, notes = loader_for(written(tmp_path, "A.PDF", pdf([lines_of_text(["page one"])])))
    assert (type(loader).__name__, notes) == ("PdfLoader", ())
    loader, notes = loader_for(written(tmp_path, "a.txt", b"%PD"))
    assert (type(loader).__name__, notes) == ("PlainLoader", ())
