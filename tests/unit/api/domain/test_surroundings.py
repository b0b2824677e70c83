"""What stands around a chunk: neighbours and sections, from position and place alone."""

from __future__ import annotations

from dataclasses import replace

from services.api.domain.knowledge import Chunk, ChunkId, FileId, KnowledgeBaseId, Place
from services.api.domain.names import FileName
from services.api.domain.surroundings import neighbours, section


def file_of(*places: Place) -> list[Chunk]:
    ids = (ChunkId("c"), KnowledgeBaseId("b"), FileId("f"))
    return [Chunk(*ids, FileName("a.md"), 1, position, f"{position}", place) for position, place in enumerate(places)]


def positions(chunks: list[Chunk]) -> list[int]:
    return [chunk.position for chunk in chunks]


def headed(*path: str, page: int | None = None) -> Place:
    return Place(page=page, heading=path)


BOOK = file_of(
    headed("一", page=1),
    headed("一", "甲", page=1),
    headed("一", "甲", page=2),
    headed("一", "乙", page=2),
    headed("二", page=3),
    headed("一", page=9),
)


def test_neighbours_are_the_positions_around():
    chunks = file_of(*[Place()] * 5)
    assert positions(neighbours(chunks, chunks[2])) == [1, 2, 3]
    assert positions(neighbours(chunks, chunks[0], reach=2)) == [0, 1, 2]
    assert positions(neighbours(chunks, chunks[4], reach=0)) == [4]


def test_other_files_and_versions_are_left_out_and_order_does_not_matter():
    own = file_of(*[Place(page=1)] * 4)
    others = [replace(chunk, file_id=FileId("g")) for chunk in own] + [replace(chunk, version=2) for chunk in own]
    mixed = [*reversed(others), *reversed(own)]
    assert neighbours(mixed, own[1]) == own[:3]
    assert section(mixed, own[1]) == own


def test_a_section_is_the_run_with_the_same_heading_across_pages():
    assert positions(section(BOOK, BOOK[1])) == [1, 2]
    assert positions(section(BOOK, BOOK[3])) == [3]


def test_a_section_ends_where_another_begins_though_its_title_comes_again():
    assert positions(section(BOOK, BOOK[0])) == [0]
    assert positions(section(BOOK, BOOK[5])) == [5]


def test_a_chapter_is_what_stands_below_its_first_title():
    assert positions(section(BOOK, BOOK[2], depth=1)) == [0, 1, 2, 3]
    assert positions(section(BOOK, BOOK[2], depth=2)) == [1, 2]


def test_without_headings_a_section_is_a_page_or_a_worksheet():
    pages = file_of(Place(page=1), Place(page=2), Place(page=2), headed("一", page=2))
    assert positions(section(pages, pages[1])) == [1, 2]
    sheets = file_of(Place(sheet="a", row=1), Place(sheet="a", row=9), Place(sheet="b", row=1))
    assert positions(section(sheets, sheets[1])) == [0, 1]
    assert positions(section(file_of(Place(), Place()), file_of(Place())[0])) == [0, 1]


def test_the_same_heading_on_another_worksheet_is_another_section():
    sheets = file_of(Place(sheet="a", heading=("x",)), Place(sheet="b", heading=("x",)))
    assert positions(section(sheets, sheets[0])) == [0]
    assert positions(section(sheets, sheets[0], depth=1)) == [0]
