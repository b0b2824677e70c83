"""Why a search found what it found, in the reader's words."""

from __future__ import annotations

import pytest

from services.wire.chatchat import AnsweringBody, ArmBody, CandidateBody, WhyBody
from webui.explanation import Reading, approach_of, arm_of, columns_of, fate_of, ordered, place_of, times_of
from webui.i18n import texts_in

ZH, EN = texts_in("zh-CN"), texts_in("en")


def arm(kind: str = "keyword", **more: object) -> ArmBody:
    return ArmBody.model_validate({"knowledge_base": "手册", "kind": kind, "found": 30, "weight": 1.0} | more)


def candidate(ident: str, fused_rank: int, fate: str, **more: object) -> CandidateBody:
    known: dict[str, object] = {"chunk_id": ident, "fused_rank": fused_rank, "fate": fate, "file_name": f"{ident}.pdf"}
    return CandidateBody.model_validate(known | more)


USED = candidate(
    "a", 3, "used", keyword_rank=5, coverage=0.5, dense_rank=1, cosine=0.814, final_rank=1, relevance=0.9,
    knowledge_base="手册", place={"page": 12, "heading": "第三章 > 部署"},
)  # fmt: skip
CUT = candidate("b", 1, "cut", keyword_rank=1, coverage=0.75, final_rank=2, relevance=0.0)
GONE = candidate("c", 2, "unknown", keyword_rank=2, coverage=0.7, file_name=None)
FAR = candidate("d", 4, "unsimilar", dense_rank=2, cosine=0.1)


@pytest.mark.parametrize(
    ("found", "named", "words"),
    [
        (arm(), False, "关键词：找到 30 条，权重 1.00"),
        (arm("dense", weight=0.125), True, "手册 · 语义（向量）：找到 30 条，权重 0.12"),
        (arm("dense", left_out="unreadable"), False, "语义（向量）：没有采用，向量模型不认识问题中的词语"),
        (arm("dense", left_out="mode"), False, "语义（向量）：没有采用，这种检索方式用不到它"),
        (arm("dense", left_out="no weight"), False, "语义（向量）：没有采用，设置中已关闭"),
        (arm("dense", left_out="no vectors"), False, "语义（向量）：没有采用，知识库还没有向量"),
        (arm("dense", left_out="on strike"), False, "语义（向量）：没有采用，on strike"),
    ],
)
def test_an_arm_says_what_it_found_or_why_it_was_not_asked(found: ArmBody, named: bool, words: str) -> None:
    assert arm_of(found, ZH, named=named) == words


def test_candidates_stand_as_far_as_they_came() -> None:
    assert [one.chunk_id for one in ordered([CUT, GONE, USED, FAR])] == ["a", "b", "d", "c"]


def test_a_candidate_is_a_row_of_ranks_and_shares() -> None:
    why = WhyBody(query="q", arms=[arm(), arm("dense")], candidates=[CUT, USED, GONE], milliseconds={})
    columns = columns_of(why, Reading({"a": 1}), EN)
    assert columns == {
        "Outcome": ["In prompt [1]", "Ranked too low", "Gone, or new"],
        "Passage": ["a.pdf · page 12 · 部署", "b.pdf", "c"],
        "Keywords": ["5 · 50%", "1 · 75%", "2 · 70%"],
        "Vectors": ["1 · 81%", "–", "–"],
        "Fused": ["3", "1", "2"],
        "Final": ["1", "2", "–"],
        "Similarity": ["81%", "75%", "70%"],
        "Relevance": ["90%", "0%", "–"],
    }


def test_where_several_bases_were_searched_a_candidate_names_its_own() -> None:
    why = WhyBody(query="q", arms=[arm(), arm(knowledge_base="另一个")], candidates=[USED], milliseconds={})
    assert columns_of(why, Reading({}), EN)["Passage"] == ["手册 · a.pdf · page 12 · 部署"]
    rows = candidate("e", 1, "cut", place={"sheet": "S", "row": 2, "last_row": 4})
    assert place_of(rows, EN, named=False) == "e.pdf · sheet S · rows 2–4"


@pytest.mark.parametrize(
    ("reading", "fate"),
    [
        (Reading({"a": 2}), "In prompt [2]"),
        (Reading({"a": 2}, [2]), "No room [2]"),
        (Reading({}), "Not enough"),
        (Reading({}, is_answer=False), "Result"),
    ],
)
def test_what_became_of_a_passage_that_was_found(reading: Reading, fate: str) -> None:
    assert fate_of(USED, reading, EN) == fate


def test_every_fate_of_the_wire_has_a_word() -> None:
    fates = CandidateBody.model_fields["fate"].annotation.__args__  # type: ignore[union-attr]
    for texts in (ZH, EN):
        words = [fate_of(candidate("x", 1, fate), Reading({}), texts) for fate in fates]
        assert len(set(words)) == len(fates)


def test_times_go_by_the_order_of_the_stages() -> None:
    took = {"rerank": 4.04, "keyword": 3.16, "guess": 1.0}
    assert times_of(took, EN) == "Keywords 3.2 ms · Reranking 4.0 ms · guess 1.0 ms"


def test_how_the_passages_were_read() -> None:
    body = AnsweringBody(strategy="map_reduce", groups=[[1, 2], [3]], left_out=[4], unrated=[5], cut_short=2)
    assert approach_of(body, ZH) == [
        "读法：分组读，再汇总",
        "分 2 组读：[1][2] / [3]",
        "提示词中放不下、没有读：[4]",
        "大模型没有给出可用的评分：[5]",
        "有 2 步达到了长度上限",
    ]
    assert approach_of(AnsweringBody(strategy="ours"), EN) == ["Way: ours"]
