"""Bombs, damage and wrong kinds in containers of parts; the files of the corpora."""

from pathlib import Path

import pytest

from services.foundation.errors import UnreadableFile
from tests.unit.api.knowledge.loaders.containers import (
    book,
    open_document,
    paragraphs,
    presentation,
    run,
    shape,
    slide,
    with_lying_directory,
)
from tests.unit.api.knowledge.loaders.making import load, texts

CORPORA = Path(__file__).resolve().parents[6] / "shared" / "corpora"


@pytest.fixture(params=["pptx", "odt", "epub"])
def sound(request, tmp_path):
    """A small file of each kind, which is read."""
    path = tmp_path / f"a.{request.param}"
    match request.param:
        case "pptx":
            presentation(path, [slide(shape(run("正文")))])
        case "odt":
            open_document(path, "text", paragraphs("正文"))
        case _:
            book(path, {"a.xhtml": "<p>正文</p>"})
    assert texts(load(path)) == ["正文"]
    return path


@pytest.mark.parametrize("name", ["ppt/slides/slide9.bin", "Pictures/a.png", "OEBPS/z.xhtml"])
def test_a_bomb_in_any_part_is_refused(sound, name):
    packed_more = with_lying_directory(sound, name, bytes(60_000_000), said_bytes=60_000_000)
    with pytest.raises(UnreadableFile, match="300 times its size"):
        load(packed_more)


def test_a_part_larger_than_the_directory_says_is_refused(sound):
    with pytest.raises(UnreadableFile, match="larger than its directory says"):
        load(with_lying_directory(sound, "media/a.png", bytes(9_000_000), said_bytes=100))


def test_a_damaged_picture_does_no_harm(sound):
    picture = bytes(range(256)) * 40
    packed_more = with_lying_directory(sound, "media/a.png", picture, said_bytes=len(picture))
    content = packed_more.read_bytes()
    place = content.index(b"media/a.png") + 60
    packed_more.write_bytes(content[:place] + bytes(8) + content[place + 8 :])
    assert texts(load(packed_more)) == ["正文"]


def test_another_kind_of_container_is_named(tmp_path):
    book(tmp_path / "a.odt", {"a.xhtml": "<p>正文</p>"})
    with pytest.raises(UnreadableFile, match="another kind of Office file or book, not an OpenDocument file"):
        load(tmp_path / "a.odt")


@pytest.mark.corpora
@pytest.mark.parametrize(
    ("name", "page"),
    [("pptx/zh_mineru_slides.pptx", 6), ("odt/en_table.odt", None), ("epub/en_winter_sports.epub", None)],
)
def test_files_of_the_corpora_are_read(name, page):
    path = CORPORA / "documents" / name
    if not path.exists():
        pytest.skip("../shared/corpora is absent")
    document = load(path)
    assert document.sections[-1].place.page == page
