"""Hits with what stands around them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.domain.knowledge import Chunk, ChunkId, FileId, FileState, Hit, KnowledgeFile, Place
from services.api.domain.names import FileName
from services.api.knowledge.retrieval.widening import Widener, joined
from tests.contract.storage import MOMENT, make_base
from tests.fakes.storage import MemoryStorage

BASE = make_base()
FILE = FileId("1" * 32)


def chunk(position: int, text: str, heading: tuple[str, ...] = ("年假",), *, file: FileId = FILE) -> Chunk:
    place = Place(heading=heading)
    return Chunk(
        ChunkId(f"{file[0]}{position:031x}"), BASE.id, file, FileName(f"{file[0]}.md"), 1, position, text, place
    )


async def widened(chunks: Sequence[Chunk], hits: Sequence[int], limit: int) -> list[str | None]:
    """What is shown of the hits, by their place in `chunks`."""
    storage = MemoryStorage()
    async with storage.begin() as work:
        await work.knowledge_bases.add(BASE)
        for id_ in dict.fromkeys(chunk.file_id for chunk in chunks):
            own = [chunk for chunk in chunks if chunk.file_id == id_]
            await work.files.save(
                KnowledgeFile(id_, BASE.id, own[0].file_name, 1, "0" * 64, 1, FileState.INDEXED, MOMENT, MOMENT)
            )
            await work.chunks.replace(await work.files.get(id_), own)  # type: ignore[arg-type]
    found = await Widener(storage).widen([Hit(chunks[at], 0.5) for at in hits], limit_chars=limit)
    assert [hit.chunk for hit in found] == [chunks[at] for at in hits]
    return [hit.shown for hit in found]


TEXTS = ["一一一", "二二二", "三三三", "四四四", "五五五"]


@pytest.mark.parametrize(
    ("limit", "shown"),
    [
        (3, "三三三"),
        (5, "三三三"),
        (6, "三三三\n四四四"),
        (9, "二二二\n三三三\n四四四"),
        (99, "一一一\n二二二\n三三三\n四四四\n五五五"),
    ],
)
async def test_neighbours_are_taken_in_turn_while_there_is_room(limit: int, shown: str):
    assert await widened([chunk(at, text) for at, text in enumerate(TEXTS)], [2], limit) == [shown]


async def test_a_section_is_not_left():
    chunks = [chunk(at, text, ("甲",) if at < 2 else ("乙",)) for at, text in enumerate(TEXTS)]
    assert await widened(chunks, [2], 99) == ["三三三\n四四四\n五五五"]


async def test_no_chunk_is_shown_twice():
    chunks = [chunk(at, text) for at, text in enumerate(TEXTS)]
    assert await widened(chunks, [1, 3], 99) == ["一一一\n二二二\n三三三", "四四四\n五五五"]
    assert await widened(chunks, [2, 0], 99) == ["二二二\n三三三\n四四四\n五五五", "一一一"]


async def test_a_hit_longer_than_the_limit_stays_whole():
    assert await widened([chunk(0, "很长" * 50), chunk(1, "短")], [0], 10) == ["很长" * 50]


async def test_files_do_not_mix():
    chunks = [chunk(0, "甲"), chunk(1, "乙", file=FileId("2" * 32))]
    assert await widened(chunks, [0], 99) == ["甲"]


def test_what_neighbours_share_stands_once():
    assert (
        joined(["员工每年享有年假。年假为五天。", "年假为五天。需提前申请。"])
        == "员工每年享有年假。年假为五天。需提前申请。"
    )
    assert joined(["甲", "乙"]) == "甲\n乙"


@given(st.text(min_size=1, max_size=200), st.data())
def test_a_text_cut_with_an_overlap_is_joined_to_itself(text: str, data: st.DataObject):
    middle = data.draw(st.integers(0, len(text)))
    begin = data.draw(st.integers(0, middle))
    whole = joined([text[:middle], text[begin:]])
    assert whole.startswith(text[:middle])
    assert whole.endswith(text[begin:])
    assert len(whole) <= middle + 1 + len(text) - begin
    if begin < middle:
        assert len(whole) <= len(text)
