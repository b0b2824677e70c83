from dataclasses import replace

import pytest
from PIL import Image

from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.loaders.pdf.scans import numbered
from services.api.knowledge.loaders.pdf.sight import is_garbled
from services.foundation.errors import EmptyFile
from tests.unit.api.knowledge.loaders.drawing import drawn
from tests.unit.api.knowledge.loaders.making import lines_of_text, load, pdf, source, texts, written

SENTENCE = "The quick brown fox"


def picture(lines, wide=540, high=500):
    """A content stream that draws a picture of some lines, 540 x 500 points unless told."""
    image = drawn(lines, (620, 574)).convert("1")
    packed = image.tobytes().hex()
    return f"q {wide} 0 0 {high} 30 100 cm BI /W 620 /H 574 /CS /G /BPC 1 /F /AHx ID {packed}> EI Q"


def test_a_scanned_page_among_others(tmp_path):
    path = written(tmp_path / "a.pdf", pdf([lines_of_text(["Page with a text layer."]), picture([SENTENCE]), ""]))
    reported = []
    file = replace(source(path), report=lambda done, total: reported.append((done, total)), cache=tmp_path / "kept")
    document = LOADERS.build(".pdf").load(file)
    assert [(section.text, section.place.page) for section in document.sections] == [
        ("Page with a text layer.", 1),
        (SENTENCE, 2),
    ]
    assert document.warnings == ()
    told = [done for done, _ in reported]
    assert told == sorted(told)
    assert set(told) == {0, 1, 2, 3}
    assert reported[-1] == (3, 3)
    assert reported.count((1, 3)) > 3  # while the picture is read, it tells that it is alive
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_a_large_picture_is_read_besides_the_text_and_says_nothing_twice(tmp_path):
    over = lines_of_text(["Text that stands above the picture, long enough to be a text layer."], 700)
    drawn_too = picture(["Text that stands above", SENTENCE])
    assert texts(load(written(tmp_path / "a.pdf", pdf([f"{drawn_too} {over}"])))) == [
        "Text that stands above the picture, long enough to be a text layer.",
        SENTENCE,
    ]


def test_a_small_picture_is_left_alone(tmp_path):
    page = f"{picture([SENTENCE], 200, 185)} {lines_of_text(['A page of text with a small picture on it.'], 700)}"
    assert texts(load(written(tmp_path / "a.pdf", pdf([page])))) == ["A page of text with a small picture on it."]


def test_text_laid_under_a_scan_is_trusted(tmp_path):
    hidden = lines_of_text(["Words that somebody recognised before us, laid under the scan."]).replace("BT", "BT 3 Tr")
    page = f"{picture([SENTENCE], 590, 690)} {hidden}"
    assert texts(load(written(tmp_path / "a.pdf", pdf([page])))) == [
        "Words that somebody recognised before us, laid under the scan."
    ]


def test_a_stamp_of_a_few_letters_over_a_scan_does_not_hide_it(tmp_path):
    page = f"{picture([SENTENCE], 590, 690)} {lines_of_text(['No 7'], 790)}"
    assert SENTENCE in "\n".join(texts(load(written(tmp_path / "a.pdf", pdf([page])))))


def test_equal_pages_are_read_once(tmp_path):
    document = load(written(tmp_path / "a.pdf", pdf([picture([SENTENCE])] * 2)))
    assert [section.place.page for section in document.sections] == [1, 2]


def test_blank_scans_are_named(tmp_path):
    pages = [Image.new("L", (600, 800), 255)] * 4
    pages[0].save(tmp_path / "a.pdf", save_all=True, append_images=pages[1:])
    with pytest.raises(EmptyFile, match="pages 1-4: no text was found"):
        load(tmp_path / "a.pdf")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("劳动合同应当遵循合法公平的原则", False),
        ("Geschäftsführung und Größe überprüfen", False),
        ("\ue001\ue002\ue003\ue004\ue005\ue006\ue007\ue008\ue009\ue00a条款", True),
        ("ÀÍ¶¯ºÏÍ¬Ó¦µ±×ñÑ­ºÏ·¨", True),
        ("\ufffd\ufffd\ufffd\ufffd合同\ufffd\ufffd条款\ufffd\ufffd", True),
        ("•\uf0b7 First point of a list with private bullets", False),
    ],
)
def test_garbled_text(text, expected):
    assert is_garbled("".join(text.split())) is expected


def test_page_numbers_as_a_person_writes_them():
    assert numbered([3]) == "page 3"
    assert numbered([3, 7, 8, 9]) == "pages 3, 7-9"
    assert numbered(list(range(1, 80, 2))).endswith("and 20 more places")
