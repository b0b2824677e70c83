import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.loaders.pictures.cache import PictureReader
from services.api.knowledge.loaders.pictures.lines import Paragraph, blocks
from services.api.knowledge.loaders.pictures.ocr import Line
from services.api.knowledge.loaders.pictures.reading import Reading
from services.api.knowledge.loaders.pictures.rulings import ruled_tables
from services.api.knowledge.loaders.pictures.sizes import BAND_PIXELS, bands, fitted
from services.foundation.errors import UnreadableFile
from tests.unit.api.knowledge.loaders.drawing import drawn, drawn_table
from tests.unit.api.knowledge.loaders.making import load, source, texts, written

SENTENCE = "The quick brown fox"


def pixels(picture):
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[:, :, ::-1])


def line(text, left, top, right=None, height=20.0):
    wide = sum(20 if char > "\u2e80" else 10 for char in text)
    return Line(text, left, top, right or left + wide, top + height, 0.99)


def shown(found):
    return [
        block.text if isinstance(block, Paragraph) else [[cell.text for cell in row] for row in block.rows]
        for block in found
    ]


def test_two_columns_are_read_one_after_the_other_though_their_rows_are_not_level():
    left = [line(f"左栏第{n}行的文字一直写到边上", 0, 100 + 30 * n, 300) for n in range(6)]
    right = [line(f"右栏第{n}行的文字一直写到边上", 340, 114 + 30 * n, 640) for n in range(6)]
    title = line("横贯两栏的标题在最上面", 100, 20, 560)
    found = shown(blocks(Reading((*right, title, *left))))
    assert found[0] == title.text
    assert "".join(found[1:]) == "".join(part.text for part in (*left, *right))


def test_texts_that_line_up_without_rulings_are_a_table():
    rows = [
        ("项目", "本期", "上期"),
        ("营业收入", "4,755", "5,699"),
        ("净利润", "120", "98"),
        ("每股收益", "0.1", "0.2"),
    ]
    lines = [line(text, 250 * x, 40 * y) for y, row in enumerate(rows) for x, text in enumerate(row)]
    assert shown(blocks(Reading(tuple(lines)))) == [[list(row) for row in rows]]


def test_prose_is_joined_to_its_right_margin_and_an_indent_begins_a_paragraph():
    lines = [
        line("第一段的第一行一直写到右边的边上", 40, 0, 400),
        line("第二行很短。", 0, 30),
        line("第二段的第一行也一直写到右边上", 40, 60, 400),
        line("它的第二行同样一直写到了右边的边上", 0, 90, 400),
        line("完。", 0, 120),
    ]
    assert shown(blocks(Reading(tuple(lines)))) == [
        lines[0].text + lines[1].text,
        "".join(part.text for part in lines[2:]),
    ]


def test_a_ruled_table_keeps_several_lines_of_a_cell_together():
    cells = ((0, 0, 100, 80), (100, 0, 300, 80), (0, 80, 100, 160), (100, 80, 300, 160))
    lines = (line("Name", 5, 5), line("two", 105, 5), line("lines", 105, 40), line("a", 5, 90), line("7", 105, 90))
    assert shown(blocks(Reading((line("Above", 0, -40), *lines), (cells,)))) == [
        "Above",
        [["Name", "two lines"], ["a", "7"]],
    ]


def test_a_frame_around_text_is_no_table():
    cells = ((0, 0, 400, 20), (0, 20, 400, 400), (0, 400, 400, 420))
    found = blocks(Reading((line("Only text in a frame", 10, 100),), (cells,)))
    assert found == [Paragraph("Only text in a frame")]


def test_rulings_give_cells_and_merged_cells():
    picture = drawn_table([["", "", ""], ["", "", ""]])
    ImageDraw.Draw(picture).rectangle((24, 26, 416, 74), fill="white")  # the first two cells become one
    (cells,) = ruled_tables(pixels(picture))
    assert sorted((right - left) // 190 for left, _, right, _ in cells) == [1, 1, 1, 1, 2]


def test_nothing_drawn_needs_no_recognition():
    assert fitted(pixels(Image.new("RGB", (900, 700), "navy"))) is None


def test_a_long_screenshot_is_cut_between_its_lines():
    picture = Image.new("RGB", (1000, 7000), "white")
    pen = ImageDraw.Draw(picture)
    for top in range(0, 7000, 50):
        pen.rectangle((100, top, 900, top + 30), fill="black")
        pen.rectangle((300, top, 500, top + 30), fill="white")
    image = pixels(picture)
    cut = list(bands(image))
    assert len(cut) == 4
    assert all(band.size / 3 <= BAND_PIXELS * 1.3 for _, band in cut)
    assert sum(len(band) for _, band in cut) == 7000
    assert all(first % 50 > 30 for first, _ in cut[1:])


def test_a_thin_strip_is_padded_so_that_the_detector_does_not_enlarge_it():
    strip = fitted(pixels(drawn(["a b"], (3000, 70))))
    assert strip is not None
    assert min(strip.shape[:2]) >= 736


def test_a_ruled_table_in_a_picture(tmp_path):
    drawn_table([["Item", "Price", "Stock"], ["Apple", "12", "40"], ["Pear", "15", "38"]]).save(tmp_path / "a.png")
    (table,) = texts(load(tmp_path / "a.png"))
    assert table.splitlines() == [
        "| Item | Price | Stock |",
        "| --- | --- | --- |",
        "| Apple | 12 | 40 |",
        "| Pear | 15 | 38 |",
    ]


@pytest.mark.parametrize("degrees", [90, 180])
def test_whichever_way_up(tmp_path, degrees):
    upright = drawn([SENTENCE, "jumps over", "the lazy dog"])
    upright.rotate(degrees, expand=True).save(tmp_path / "a.png")
    assert texts(load(tmp_path / "a.png"))[0].startswith(SENTENCE)


def test_readings_are_kept_and_damaged_ones_made_again(tmp_path):
    kept = tmp_path / "kept"
    image = pixels(drawn([SENTENCE]))
    first = PictureReader(kept)
    found = first.read(image)
    assert [part.text for part in found.lines] == [SENTENCE]
    again = PictureReader(kept)
    assert again.read(image) == found
    assert (first.recognised, again.recognised) == (1, 0)

    (path,) = kept.iterdir()
    path.write_text(json.dumps({"lines": [["cut"]], "tables": []}))
    mended = PictureReader(kept)
    assert mended.read(image) == found
    assert mended.recognised == 1
    assert PictureReader(kept).known(image) == found


def test_of_a_moving_picture_only_the_beginning_is_read(tmp_path):
    first = drawn([SENTENCE]).convert("L")
    blank = [Image.new("L", first.size, 250 - number) for number in range(9)]
    first.save(tmp_path / "a.gif", save_all=True, append_images=blank, duration=50)
    document = load(tmp_path / "a.gif")
    assert [(section.text, section.place.page) for section in document.sections] == [(SENTENCE, 1)]
    assert document.warnings[-1] == "only the first 5 pages or frames were read"


def test_pages_of_a_tiff(tmp_path):
    first, second = drawn([SENTENCE]), Image.new("RGB", (300, 200), "white")
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    reported = []
    file = replace(source(tmp_path / "a.tif"), report=lambda done, total: reported.append((done, total)))
    document = LOADERS.build(".tif").load(file)
    assert [(section.text, section.place.page) for section in document.sections] == [(SENTENCE, 1)]
    assert document.warnings == ("no text was found on page 2",)
    assert reported[-2:] == [(1, None), (2, None)]
    assert len(reported) > 3  # while a page is read, it tells that it is alive
    assert set(reported[:-2]) == {(0, None)}


def test_a_photo_is_turned_by_its_note_and_transparency_is_paper(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    drawn([SENTENCE]).rotate(90, expand=True).save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert texts(load(tmp_path / "a.jpg")) == [SENTENCE]
    clear = Image.new("RGBA", (620, 220), (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), (0, 0), Image.eval(drawn([SENTENCE]).convert("L"), lambda value: 255 - value))
    clear.save(tmp_path / "b.png")
    assert texts(load(tmp_path / "b.png")) == [SENTENCE]


def test_too_many_pixels_are_refused_unread(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "a.png")
    with pytest.raises(UnreadableFile, match="million pixels"):
        load(tmp_path / "a.png")


def test_what_is_no_picture(tmp_path):
    with pytest.raises(UnreadableFile, match="no picture"):
        load(written(tmp_path / "a.png", b"plain words, nothing else"))


@pytest.mark.corpora
@pytest.mark.parametrize(
    ("name", "wanted"),
    [("zh_printed_paragraph.png", "电话代收、预付费卡和点卡"), ("en_table.png", "| Blind | 5 | 1 | 4 |")],
)
def test_pictures_of_the_corpora(corpora, name, wanted):
    found = "".join(texts(load(corpora / "documents" / "images" / name)))
    assert wanted in found
