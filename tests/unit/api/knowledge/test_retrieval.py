"""Hybrid retrieval: the fusion's arithmetic, when the dense list counts, and what a hit says of itself."""

from __future__ import annotations

import itertools
from collections.abc import Set
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.domain.knowledge import (
    Chunk,
    ChunkId,
    EmbeddedQuery,
    FileId,
    Hit,
    KnowledgeBase,
    KnowledgeBaseId,
    Match,
    Place,
    Vector,
)
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.domain.retrieval import Query
from services.api.knowledge.ingest import Indexes
from services.api.knowledge.retrieval.fusion import fuse
from services.api.knowledge.retrieval.hybrid import HybridRetriever
from services.foundation.errors import NoWorker
from services.foundation.settings.tree import Retrieval
from tests.contract.storage import make_file
from tests.fakes.embedder import FakeEmbedder
from tests.fakes.storage import MemoryStorage
from tests.fakes.text_index import MemoryTextIndex
from tests.fakes.vector_store import MemoryStore

BASE = KnowledgeBase(
    KnowledgeBaseId("a" * 32), KnowledgeBaseName("b"), "", "m", "memory", datetime(2026, 1, 1, tzinfo=UTC), 2
)
IDS = st.lists(st.sampled_from([ChunkId(letter) for letter in "abcdefgh"]), unique=True)
WEIGHTS = st.floats(0, 3)


def ranked(*ids: str) -> list[Match]:
    return [Match(ChunkId(ident), 0.5) for ident in ids]


@given(st.lists(st.tuples(IDS, WEIGHTS), max_size=3), st.integers(1, 100))
def test_fusion_orders_by_the_sum_of_weighted_reciprocal_ranks(lists, constant):
    found = fuse([([Match(ident, 0.5) for ident in ids], weight) for ids, weight in lists], constant=constant)

    def total(ident: ChunkId) -> float:
        return float(sum(weight / (constant + ids.index(ident) + 1) for ids, weight in lists if ident in ids))

    assert set(found) == {ident for ids, weight in lists if weight > 0 for ident in ids}
    assert len(set(found)) == len(found)
    totals = [total(ident) for ident in found]
    assert all(before >= after - 1e-12 for before, after in itertools.pairwise(totals))


@given(IDS, st.floats(0.1, 3), st.integers(1, 100))
def test_one_list_keeps_its_order(ids, weight, constant):
    assert fuse([([Match(ident, 0.1) for ident in ids], weight)], constant=constant) == ids


def test_ties_keep_the_order_of_the_first_list():
    assert fuse([(ranked("a", "b"), 1.0), (ranked("b", "a"), 1.0)], constant=60) == ["a", "b"]
    assert fuse([(ranked("a"), 1.0), (ranked("z"), 1.0)], constant=60) == ["a", "z"]


def test_weights_decide_and_a_list_without_weight_does_not_count():
    assert fuse([(ranked("a", "b"), 1.0), (ranked("b", "a"), 1.1)], constant=60) == ["b", "a"]
    assert fuse([(ranked("a"), 1.0), (ranked("b"), 0.0)], constant=60) == ["a"]
    assert fuse([], constant=60) == []


def test_a_chunk_in_both_lists_wins_over_the_first_of_one():
    assert fuse([(ranked("a", "x"), 1.0), (ranked("b", "x"), 1.0)], constant=60)[0] == "x"


class FixedIndex(MemoryTextIndex):
    """A keyword index that always finds the same."""

    def __init__(self, *matches: Match) -> None:
        super().__init__()
        self._matches = list(matches)
        self.limits: list[int] = []

    async def search(
        self, base: KnowledgeBaseId, text: str, *, limit: int, among: Set[ChunkId] | None = None
    ) -> list[Match]:
        self.limits.append(limit)
        return self._matches


class FixedStore(MemoryStore):
    """A vector store that always finds the same."""

    def __init__(self, *matches: Match) -> None:
        super().__init__()
        self._matches = list(matches)
        self.searched = 0

    async def search(
        self, base: KnowledgeBaseId, vector: Vector, *, limit: int, among: Set[ChunkId] | None = None
    ) -> list[Match]:
        self.searched += 1
        return self._matches


class DeadEmbedder(FakeEmbedder):
    async def embed_query(self, model: str, text: str) -> EmbeddedQuery:
        raise NoWorker(model=model)


@dataclass
class Arms:
    """A retriever between two fixed arms over one database that knows the chunks a, b and c."""

    keyword: FixedIndex
    dense: FixedStore
    unreadable: float = 0.0

    async def retrieve(
        self, *, top_k: int = 3, floor: float = 0.0, base: KnowledgeBase = BASE, **settings
    ) -> list[Hit]:
        storage = MemoryStorage()
        file = make_file(base)
        async with storage.begin() as work:
            await work.knowledge_bases.add(base)
            await work.files.save(file)
            await work.chunks.replace(file, [chunk(ident, position) for position, ident in enumerate("abc")])
        embedder = settings.pop("embedder", None) or FakeEmbedder(unreadable_share=self.unreadable)
        retriever = HybridRetriever(Indexes(storage, self.dense, self.keyword), embedder, Retrieval(**settings))
        return list((await retriever.retrieve(Query("问题", (base,), top_k, floor))).hits)


def chunk(ident: str, position: int) -> Chunk:
    file = make_file(BASE)
    return Chunk(
        ChunkId(ident), BASE.id, FileId(file.id), FileName(file.name.value), 1, position, f"text {ident}", Place()
    )


def arms(keyword: dict[str, float], dense: dict[str, float], unreadable: float = 0.0) -> Arms:
    def matches(given: dict[str, float]) -> list[Match]:
        return [Match(ChunkId(ident), similarity) for ident, similarity in given.items()]

    return Arms(FixedIndex(*matches(keyword)), FixedStore(*matches(dense)), unreadable)


def ids(hits: list[Hit]) -> list[str]:
    return [hit.chunk.id for hit in hits]


async def test_a_hits_similarity_is_the_larger_of_cosine_and_coverage():
    hits = await arms({"a": 0.3, "b": 0.8}, {"a": 0.7, "c": 0.4}).retrieve()
    said = {hit.chunk.id: (hit.similarity, hit.cosine, hit.coverage) for hit in hits}
    assert said == {"a": (0.7, 0.7, 0.3), "b": (0.8, None, 0.8), "c": (0.4, 0.4, None)}
    assert ids(hits)[0] == "a"


@pytest.mark.parametrize(("unreadable", "counts"), [(0.0, True), (0.29, True), (0.31, False), (1.0, False)])
async def test_the_dense_list_is_left_out_when_the_embedder_cannot_read(unreadable: float, counts: bool):
    found = arms({"a": 0.5}, {"b": 0.9}, unreadable)
    assert ids(await found.retrieve(unreadable_share=0.3)) == (["a", "b"] if counts else ["a"])
    assert found.dense.searched == counts


async def test_the_dense_list_is_weighted_down_by_what_the_embedder_cannot_read():
    keyword, dense = {"a": 0.5, "b": 0.5}, {"b": 0.9, "a": 0.9}
    assert ids(await arms(keyword, dense).retrieve(dense_weight=1.5)) == ["b", "a"]
    assert ids(await arms(keyword, dense, 0.2).retrieve(dense_weight=1.5)) == ["a", "b"]


async def test_at_the_very_limit_or_without_weight_the_dense_list_counts_nothing():
    assert ids(await arms({"a": 0.5}, {"b": 0.9}, 0.3).retrieve(unreadable_share=0.3)) == ["a"]
    assert ids(await arms({"a": 0.5}, {"b": 0.9}).retrieve(dense_weight=0)) == ["a"]
    assert ids(await arms({"a": 0.5}, {"b": 0.9}).retrieve(unreadable_share=0)) == ["a", "b"]


async def test_chunks_the_database_does_not_know_do_not_count_nor_take_a_place():
    found = arms({"gone": 1.0, "a": 0.5}, {"deleted": 0.9, "b": 0.8})
    assert ids(await found.retrieve(top_k=2)) == ["a", "b"]


async def test_hits_below_the_floor_are_dropped_and_the_rest_cut():
    found = arms({"a": 0.9, "b": 0.5, "c": 0.4}, {})
    assert ids(await found.retrieve(floor=0.5)) == ["a", "b"]
    assert ids(await found.retrieve(top_k=1)) == ["a"]
    assert ids(await found.retrieve(floor=0.95)) == []


async def test_each_arm_is_asked_for_at_least_as_many_as_are_wanted():
    found = arms({"a": 0.5}, {})
    await found.retrieve(candidates=5, top_k=3)
    await found.retrieve(candidates=5, top_k=40)
    assert found.keyword.limits == [5, 40]


async def test_an_empty_base_needs_no_embedder():
    empty = KnowledgeBase(BASE.id, BASE.name, "", "m", "memory", BASE.created_at)
    assert await arms({}, {}).retrieve(base=empty, embedder=DeadEmbedder()) == []


async def test_an_embedder_that_cannot_be_reached_is_named():
    with pytest.raises(NoWorker):
        await arms({"a": 0.5}, {"b": 0.5}).retrieve(embedder=DeadEmbedder())
