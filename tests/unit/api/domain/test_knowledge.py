"""The little behaviour the nouns have."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from services.api.domain.knowledge import Chunk, ChunkId, FileId, KnowledgeBaseId, Place
from services.api.domain.names import FileName


def chunk(*heading: str) -> Chunk:
    ids = (ChunkId("c"), KnowledgeBaseId("b"), FileId("f"))
    return Chunk(*ids, FileName("a.md"), version=1, position=0, text="正文", place=Place(heading=heading))


@pytest.mark.parametrize(
    ("heading", "indexed"),
    [((), "正文"), (("第一章",), "第一章\n正文"), (("第一章", "", "1.1"), "第一章 > 1.1\n正文"), (("", ""), "正文")],
)
def test_the_heading_is_indexed_before_the_text(heading: tuple[str, ...], indexed: str):
    assert chunk(*heading).indexed_text == indexed


def test_nouns_do_not_change():
    with pytest.raises(FrozenInstanceError):
        chunk().text = "x"  # type: ignore[misc]
