"""The reranker without a model: what it reads in a passage, and that it only ever orders."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.domain.knowledge import Hit, KnowledgeBaseId, Place
from services.api.domain.names import FileName
from services.api.domain.ports import Reranker
from services.api.knowledge.retrieval.light import LightReranker, Signs, signs_of
from tests.contract.text_index import BASE, OTHER, make_chunk
from tests.fakes.text_index import MemoryTextIndex

PORT: Reranker = LightReranker(MemoryTextIndex())
"""Checked by mypy: it is the port it claims to be."""
SHARE = st.floats(0, 1)
SIGNS = st.builds(Signs, SHARE, SHARE, SHARE, SHARE, st.none() | SHARE, st.floats(0.01, 1))


def hit(
    text: str, *, number: int = 0, cosine: float | None = None, heading: str = "", base: KnowledgeBaseId = BASE
) -> Hit:
    chunk = dataclasses.replace(make_chunk(number, text, base), place=Place(heading=(heading,) if heading else ()))
    return Hit(chunk, similarity=0.5, cosine=cosine)


async def reranked(question: str, hits: Sequence[Hit], *, limit: int = 10, others: Sequence[str] = ()) -> list[Hit]:
    index = MemoryTextIndex()
    await index.upsert([one.chunk for one in hits])
    await index.upsert([make_chunk(100 + number, text) for number, text in enumerate(others)])
    return await LightReranker(index).rerank(question, hits, limit=limit)


async def test_a_passage_that_holds_the_rare_words_comes_before_one_with_the_common():
    hits = [hit("the pump of the plant", number=1), hit("valve XK-200 leaks", number=2)]
    found = await reranked("pump XK-200", hits, others=["a pump", "another pump", "pump house"])
    assert [one.chunk.text for one in found] == ["valve XK-200 leaks", "the pump of the plant"]


async def test_words_in_one_sentence_tell_more_than_words_apart():
    apart = hit("年假有五天。食堂在二楼。经理批准报销。", number=1)
    together = hit("食堂在二楼。年假由经理批准。报销要发票。", number=2)
    assert (await reranked("年假经理批准", [apart, together]))[0].chunk is together.chunk


async def test_a_heading_that_the_question_names_decides_between_equals():
    hits = [hit("利润增长", number=1, heading="乙公司"), hit("利润增长", number=2, heading="甲公司")]
    assert (await reranked("甲公司利润增长多少", hits))[0].chunk is hits[1].chunk


async def test_a_file_that_the_question_names_decides_between_equals():
    hits = [hit("revenue grew", number=number) for number in (1, 2)]
    named = dataclasses.replace(hits[1].chunk, file_name=FileName("acme-2023.pdf"))
    found = await reranked("How did revenue grow in acme-2023?", [hits[0], dataclasses.replace(hits[1], chunk=named)])
    assert found[0].chunk is named


async def test_of_equal_words_the_nearer_vector_comes_first_and_an_unknown_one_counts_as_the_farthest():
    hits = [hit("dogs bark", number=1), hit("dogs bark", number=2, cosine=0.8), hit("dogs bark", number=3, cosine=0.3)]
    found = await reranked("dogs", hits)
    assert [one.chunk for one in found] == [hits[1].chunk, hits[0].chunk, hits[2].chunk]


async def test_the_order_before_decides_between_equals():
    hits = [hit("同样的话", number=number) for number in range(5)]
    assert [one.chunk for one in await reranked("同样的话", hits)] == [one.chunk for one in hits]


async def test_rarity_is_that_of_each_hits_own_base():
    index = MemoryTextIndex()
    ours, theirs = hit("alpha", number=1), hit("alpha", number=2, base=OTHER)
    await index.upsert([ours.chunk, theirs.chunk, *(make_chunk(number, "alpha") for number in range(10, 30))])
    await index.upsert([make_chunk(number, "beta", OTHER) for number in range(30, 50)])
    found = {one.chunk.id: one for one in await LightReranker(index).rerank("alpha beta", [ours, theirs], limit=2)}
    assert (found[theirs.chunk.id].relevance or 0) > (found[ours.chunk.id].relevance or 0)  # beta is common in theirs


async def test_nothing_found_stays_nothing():
    assert await reranked("年假", []) == []


@given(
    texts=st.lists(st.text(max_size=40), max_size=8),
    question=st.text(max_size=30),
    cosines=st.lists(st.none() | SHARE, min_size=8, max_size=8),
    limit=st.integers(1, 10),
)
async def test_it_loses_and_invents_nothing(texts: list[str], question: str, cosines: list[float | None], limit: int):
    hits = [hit(text, number=number, cosine=cosines[number]) for number, text in enumerate(texts)]
    found = await reranked(question, hits, limit=limit)
    ids = [one.chunk.id for one in found]
    assert len(ids) == len(set(ids)) == min(limit, len(hits))
    assert set(ids) <= {one.chunk.id for one in hits}
    assert all(one.relevance is not None and 0 <= one.relevance <= 1 for one in found)


@given(SIGNS, st.sampled_from(["held", "together"]))
def test_more_of_a_sign_never_makes_a_passage_less_relevant(signs: Signs, more: str):
    fuller = dataclasses.replace(signs, **{more: 1.0})
    assert fuller.relevance >= signs.relevance
    assert fuller.order >= signs.order


@pytest.mark.parametrize(
    ("held", "together", "cosine", "least", "most"),
    [(0.0, 0.0, None, 0.0, 0.1), (1.0, 1.0, None, 0.75, 1.0), (0.0, 0.0, 0.1, 0.0, 0.1), (0.9, 0.7, 0.7, 0.85, 1.0)],
)
def test_relevance_is_low_without_signs_and_high_with_all(
    held: float, together: float, cosine: float | None, least: float, most: float
):
    assert least <= Signs(1.0, held, together, 0.0, cosine, 1.0).relevance <= most


def test_a_base_whose_index_is_empty_gives_no_signs_of_words():
    (signs,) = signs_of([hit("text")], {BASE: {}})
    assert (signs.held, signs.together, signs.named, signs.cosine) == (0.0, 0.0, 0.0, None)
