"""Hits that repeat a better one."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from services.api.domain.knowledge import Chunk, ChunkId, FileId, Hit, KnowledgeBaseId, Place
from services.api.domain.names import FileName
from services.api.knowledge.retrieval.diversity import distinct_first

NOTICE = (
    "各部门员工每年享有五天带薪年假，须提前两周向主管提出书面申请，经批准后方可休假，未休的年假不得顺延到下一年度使用。"
)


def hits(*texts: str) -> list[Hit]:
    return [
        Hit(
            Chunk(
                ChunkId(f"{at:032x}"),
                KnowledgeBaseId("b" * 32),
                FileId("f" * 32),
                FileName("a.md"),
                1,
                at,
                text,
                Place(),
            ),
            0.5,
        )
        for at, text in enumerate(texts)
    ]


def order(found: Sequence[Hit]) -> list[int]:
    return [hit.chunk.position for hit in found]


def test_what_was_said_before_stands_last():
    found = distinct_first(hits(NOTICE, NOTICE, "食堂午餐十二点开始。", NOTICE + "！", "班车六点发车。"))
    assert order(found) == [0, 2, 4, 1, 3]


def test_another_number_says_something_else():
    texts = [f"{NOTICE}本通知自 {year} 年起执行。" for year in (2024, 2025, 2026)]
    assert order(distinct_first(hits(*texts))) == [0, 1, 2]


def test_passages_without_a_word_are_all_kept():
    assert order(distinct_first(hits("——", "——", "……"))) == [0, 1, 2]
    assert distinct_first([]) == []


@given(st.lists(st.sampled_from([NOTICE, NOTICE[:-5], "午餐", "班车", ""]), max_size=12))
def test_nothing_is_lost_and_the_best_stays_first(texts: list[str]):
    found = hits(*texts)
    ordered = distinct_first(found)
    assert sorted(order(ordered)) == list(range(len(texts)))
    assert ordered[:1] == found[:1]
