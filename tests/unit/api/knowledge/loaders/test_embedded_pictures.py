"""Pictures inside slides and Word documents: read where they stand, each once; what is not read is said."""

import io
from pathlib import Path

import docx
import pytest
from docx.shared import Cm as WordCm
from PIL import Image
from pptx import Presentation
from pptx.util import Cm

from services.foundation.errors import EmptyFile
from tests.unit.api.knowledge.loaders.drawing import drawn
from tests.unit.api.knowledge.loaders.making import load, texts


def png(picture: Image.Image) -> io.BytesIO:
    content = io.BytesIO()
    picture.save(content, "PNG")
    content.seek(0)
    return content


def written(text: str) -> io.BytesIO:
    return png(drawn([text]))


def save_show(path: Path, *slides: list[io.BytesIO]) -> None:
    show = Presentation()
    for pictures in slides:
        slide = show.slides.add_slide(show.slide_layouts[6])
        for number, picture in enumerate(pictures):
            slide.shapes.add_picture(picture, Cm(1), Cm(1 + 8 * number), Cm(12), Cm(6))
    show.save(str(path))


def test_a_picture_on_a_slide_is_read_at_its_place_and_one_on_every_slide_once(tmp_path):
    logo, chart = written("Blue Lighthouse Inc"), written("Revenue by quarter")
    save_show(tmp_path / "a.pptx", [logo], [logo, chart])
    document = load(tmp_path / "a.pptx")
    assert [(section.text, section.place.page) for section in document.sections] == [
        ("Blue Lighthouse Inc", 1),
        ("Revenue by quarter", 2),
    ]
    assert document.warnings == ()


def test_pictures_of_a_word_document_are_read_between_its_paragraphs(tmp_path):
    made = docx.Document()
    made.add_paragraph("Before it.")
    made.add_picture(written("Serial number HX 4477"), width=WordCm(12))
    made.add_paragraph("After it.")
    made.add_table(1, 1).cell(0, 0).paragraphs[0].add_run().add_picture(written("Inside a cell"), width=WordCm(8))
    made.save(str(tmp_path / "a.docx"))
    assert texts(load(tmp_path / "a.docx")) == ["Before it.", "Serial number HX 4477", "After it.", "Inside a cell"]


def test_a_picture_in_a_list_leaves_the_list_whole(tmp_path):
    made = docx.Document()
    made.add_paragraph("first", style="List Bullet").add_run().add_picture(written("Press the red button"))
    made.add_paragraph("second", style="List Bullet")
    made.save(str(tmp_path / "a.docx"))
    assert texts(load(tmp_path / "a.docx")) == ["- first", "Press the red button", "- second"]


def test_decoration_is_passed_over(tmp_path):
    made = docx.Document()
    made.add_paragraph("Words.")
    made.add_picture(png(Image.new("RGB", (60, 60), "red")))
    made.save(str(tmp_path / "a.docx"))
    document = load(tmp_path / "a.docx")
    assert (texts(document), document.warnings) == (["Words."], ())


def test_a_damaged_picture_is_said_and_harms_nothing(tmp_path):
    content = bytearray(written("Never seen").getvalue())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    made = docx.Document()
    made.add_paragraph("Words.")
    made.add_picture(io.BytesIO(bytes(content)), width=WordCm(12))
    made.save(str(tmp_path / "a.docx"))
    document = load(tmp_path / "a.docx")
    assert texts(document) == ["Words."]
    assert len(document.warnings) == 1
    assert document.warnings[0].startswith("text inside 1 picture was not read: damaged")


def test_a_document_of_pictures_without_text_is_empty(tmp_path):
    save_show(tmp_path / "a.pptx", [png(Image.new("RGB", (400, 300), "white"))])
    with pytest.raises(EmptyFile):
        load(tmp_path / "a.pptx")
